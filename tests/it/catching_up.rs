//! What a server says while a run that goes on hasn't caught up, over real sockets.

use std::time::Duration;

use serde_json::json;
use tapeline::serve::ServeOptions;
use tokio::time::{sleep, timeout};
use types::Epoch;

use crate::server::Rig;

#[tokio::test]
async fn subscriptions_begin_once_the_run_has_caught_up() {
    let heartbeat = Duration::from_millis(20);
    let mut rig = Rig::start(ServeOptions { heartbeat, ..ServeOptions::default() }).await;
    rig.hub.catch_up_to(Epoch(3));
    rig.hub.set_ready();
    let mut client = rig.client().await;
    client.subscribe("rows").await;
    for key in 1..=2 {
        rig.publish([(key, "old".to_owned())]);
        sleep(Duration::from_millis(60)).await;
        // Neither rows nor how far it is, though heartbeats are due.
        assert!(timeout(Duration::from_millis(20), client.hear()).await.is_err());
        for path in ["/v1/views", "/v1/views/rows", "/health/ready"] {
            let (status, _, answer) = rig.get(path).await;
            assert_eq!((status, &answer["code"]), (503, &json!("catching_up")), "{path}");
        }
    }
    let mut other = rig.client().await;
    other.say(json!({ "op": "list", "id": 8, "what": "views" })).await;
    let told = other.hear().await;
    assert_eq!((&told["code"], &told["retryable"]), (&json!("catching_up"), &json!(true)));
    rig.publish([(2, "new".to_owned())]);
    let first = client.hear().await;
    assert_eq!(
        (&first["op"], &first["seq"], &first["epoch"]),
        (&json!("snap"), &json!(1), &json!("3"))
    );
    assert_eq!(first["rows"].as_array().map(Vec::len), Some(2), "{first}");
    assert_eq!(rig.get("/health/ready").await.0, 200);
    rig.stop().await;
}
