//! The server over real sockets: frames, errors, close codes, pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tapeline::runtime::EpochOutput;
use tapeline::serve::{MAX_FRAME_BYTES, Now, PROTOCOL, ServeOptions};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use types::time::ReceiveTime;
use types::{Changes, Epoch, VenueTime};

use crate::server::{Rig, row};

fn quick() -> ServeOptions {
    ServeOptions { heartbeat: Duration::from_millis(50), ..ServeOptions::default() }
}

#[tokio::test]
async fn readers_at_any_pace_end_with_the_same_rows() {
    let mut rig = Rig::start(ServeOptions { frame_bytes: 2_000, ..quick() }).await;
    let mut clients = Vec::new();
    for n in 0..6_u64 {
        for epoch in 0..20 {
            let rows = (0..10).map(|i| {
                let key = (epoch * 7 + i * (n + 3)) % 40;
                (key, if (key + epoch) % 5 == 0 { String::new() } else { format!("{n}.{epoch}") })
            });
            rig.publish(rows.collect::<BTreeMap<_, _>>());
            tokio::task::yield_now().await;
        }
        let mut client = rig.client().await;
        client.subscribe("rows").await;
        clients.push(client);
        // Some read now and then, the first one never until the end.
        for client in clients.iter_mut().skip(1) {
            client.fold().await;
        }
    }
    for client in &mut clients {
        client.fold_to_progress(rig.epoch).await;
        assert_eq!(client.rows, rig.shown());
        assert_eq!(client.n_resets, 0);
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_agree_at_each_epoch_while_it_is_published() {
    let rig = Rig::start(quick()).await;
    let mut client = rig.client().await;
    for view in ["rows", "others"] {
        client.say(json!({ "op": "subscribe", "id": view, "sub": view, "view": view })).await;
    }
    let hub = Arc::clone(&rig.hub);
    let n_epochs = 3_000;
    let publisher = std::thread::spawn(move || {
        let change = |epoch: u64| {
            // The row of each epoch says its number, and takes the place of the one before.
            let old = (epoch > 1).then(|| (row(1, &(epoch - 1).to_string()), -1));
            Arc::new(Changes::Rows(
                old.into_iter().chain([(row(1, &epoch.to_string()), 1)]).collect(),
            ))
        };
        for epoch in 1..=n_epochs {
            let changes = vec![change(epoch), change(epoch)];
            hub.publish(&EpochOutput { epoch: Epoch(epoch), watermark: VenueTime::MIN, changes });
        }
        hub.end();
    });
    let mut epochs = BTreeMap::from([("rows".to_owned(), 0), ("others".to_owned(), 0)]);
    let (mut last, mut n_ended) = (0, 0);
    while n_ended < 2 {
        let frame = client.hear().await;
        let Some(epoch) = frame["epoch"].as_str() else { continue };
        let shown = frame["put"].as_array().or(frame["rows"].as_array());
        for row in shown.into_iter().flatten() {
            assert_eq!(row["v"].as_str(), Some(epoch), "{frame}");
        }
        let epoch: u64 = epoch.parse().unwrap();
        assert!(epoch >= last, "{frame}");
        last = epoch;
        if shown.is_some() {
            epochs.insert(frame["sub"].as_str().unwrap().to_owned(), epoch);
        }
        n_ended += usize::from(frame["event_time_frontier"] == "end");
    }
    assert!(epochs.values().all(|epoch| *epoch == n_epochs), "{epochs:?}");
    publisher.join().unwrap();
    rig.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_merged_deltas_and_delays_nobody() {
    let mut rig = Rig::start(quick()).await;
    let (mut slow, mut fast) = (rig.client().await, rig.client().await);
    slow.subscribe("rows").await;
    fast.subscribe("rows").await;
    let (mut n_deltas, n_epochs) = (0, 60);
    for epoch in 0..n_epochs {
        // A megabyte an epoch: far more than all socket buffers hold.
        rig.publish((0..10).map(|key| (key, format!("{epoch}").repeat(50_000))));
        while fast.epoch < rig.epoch || !fast.is_whole {
            n_deltas += usize::from(fast.fold().await == "delta");
        }
    }
    assert!(fast.rows == rig.shown());
    assert!(n_deltas >= n_epochs);
    let ops = slow.fold_to_progress(rig.epoch).await;
    let slow_deltas = ops.iter().filter(|op| *op == "delta").count();
    assert!(slow_deltas < n_deltas, "{slow_deltas} of {n_deltas}");
    assert!(slow.rows == rig.shown() && slow.n_resets == 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_client_beyond_the_bound_starts_again() {
    let mut rig = Rig::start_with(quick(), 50).await;
    let mut client = rig.client().await;
    client.subscribe("rows").await;
    client.fold_to_progress(0).await;
    // No await between: the connection sees none of these alone.
    for epoch in 0..30 {
        rig.publish((epoch * 3..epoch * 3 + 5).map(|key| (key, format!("{epoch}"))));
    }
    let ops = client.fold_to_progress(rig.epoch).await;
    assert_eq!(ops.first().map(String::as_str), Some("reset"));
    assert_eq!((client.rows, client.n_resets), (rig.shown(), 1));
    rig.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed() {
    let write_timeout = Duration::from_millis(300);
    let mut rig = Rig::start(ServeOptions { write_timeout, ..quick() }).await;
    let mut client = rig.client().await;
    client.subscribe("rows").await;
    for epoch in 0..30 {
        rig.publish((0..10).map(|key| (key, format!("{epoch}").repeat(50_000))));
        sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(client.close_code().await, 4413);
    rig.stop().await;
}

#[tokio::test]
async fn requests_are_answered() {
    let mut rig = Rig::start(quick()).await;
    rig.publish([(1, "a".to_owned())]);
    let mut client = rig.connect().await;
    client.say(json!({ "op": "hello", "id": "1", "token": "x", "later": [] })).await;
    let welcome = client.hear().await;
    assert_eq!(welcome["epoch"], "1");
    assert_eq!(welcome["frontier"], "2023-11-14T22:13:20.000000000Z");
    assert_eq!((&welcome["heartbeat_ms"], &welcome["max_subs"]), (&json!(50), &json!(64)));

    for (message, answer) in [
        (
            json!({ "op": "ping", "id": "2", "t": [7] }),
            json!({ "op": "pong", "id": "2", "t": [7] }),
        ),
        (json!({ "op": "hello", "id": "3" }), json!({ "code": "bad_request", "id": "3" })),
        (json!({ "op": "list", "id": 4, "what": "x" }), json!({ "code": "bad_request", "id": 4 })),
        (json!({ "op": "unsubscribe", "id": 5, "sub": "s" }), json!({ "code": "unknown_sub" })),
        (json!({ "op": "dance", "id": 6 }), json!({ "op": "error", "code": "unknown_op" })),
        (json!({ "op": "auth", "id": 7, "token": "x" }), json!({ "code": "unsupported" })),
        (json!({ "op": "list", "id": 8, "what": "subs" }), json!({ "op": "result", "subs": [] })),
        (
            json!({ "op": "subscribe", "id": 9, "sub": "s", "view": "row" }),
            json!({ "code": "unknown_view" }),
        ),
    ] {
        client.say(message).await;
        let told = client.hear().await;
        for (field, value) in answer.as_object().unwrap() {
            assert_eq!(&told[field], value, "{told}");
        }
        assert!(told["op"] != "error" || told["retryable"] == false, "{told}");
        assert!(told.get("sub").is_none(), "an error with `sub` would end it");
    }
    client.say(json!({ "op": "list", "id": 8, "what": "views" })).await;
    let views = client.hear().await["views"].clone();
    assert_eq!((&views[0]["name"], &views[0]["rows"]), (&json!("rows"), &json!(1)));

    client.subscribe("rows").await;
    assert_eq!(client.fold().await, "snap");
    client.say(json!({ "op": "subscribe", "id": "10", "sub": "s", "view": "others" })).await;
    while client.hear().await["code"] != "dup_sub" {}
    client.say(json!({ "op": "unsubscribe", "id": "11", "sub": "s" })).await;
    let ok = loop {
        let told = client.hear().await;
        if told["op"] != "progress" {
            break told;
        }
    };
    assert_eq!(ok, json!({ "op": "ok", "id": "11", "sub": "s" }));
    assert_eq!(
        client.hear().await,
        json!({ "op": "closed", "sub": "s", "reason": "unsubscribed" })
    );
    rig.publish([(2, "b".to_owned())]);
    client.say(json!({ "op": "ping", "id": "12" })).await;
    assert_eq!(client.hear().await, json!({ "op": "pong", "id": "12" }), "nothing more of it");
    rig.stop().await;
}

#[tokio::test]
async fn no_frame_is_larger_than_allowed() {
    let mut rig = Rig::start(quick()).await;
    // The small row leaves room for none of the large ones, each of which fits alone.
    let large = |key: u64| (key, "x".repeat(MAX_FRAME_BYTES - 2_000));
    rig.publish([(1, "x".repeat(5_000)), large(2), large(3)]);
    let mut client = rig.client().await;
    client.subscribe("rows").await;
    let mut n_frames = 0;
    while n_frames == 0 || !client.is_whole {
        // `hear` looks at the size.
        n_frames += usize::from(client.fold().await == "snap");
    }
    assert_eq!(n_frames, 3);
    rig.publish([(1, "y".repeat(5_000)), (2, String::new()), large(4), large(5)]);
    client.fold_to_progress(2).await;
    assert!(client.rows == rig.shown());

    rig.publish([(6, "x".repeat(MAX_FRAME_BYTES))]);
    let error = loop {
        let told = client.hear().await;
        if told["op"] == "error" {
            break told;
        }
    };
    assert_eq!((&error["sub"], &error["code"]), (&json!("s"), &json!("row_too_large")));
    client.say(json!({ "op": "list", "id": 1, "what": "subs" })).await;
    assert_eq!(client.hear().await["subs"], json!([]));
    rig.stop().await;
}

#[tokio::test]
async fn without_a_snapshot_only_changes_come() {
    let mut rig = Rig::start(quick()).await;
    rig.publish([(1, "a".to_owned())]);
    let mut client = rig.client().await;
    let subscribe =
        json!({ "op": "subscribe", "id": 1, "sub": "s", "view": "rows", "snapshot": false });
    client.say(subscribe).await;
    assert_eq!(client.hear().await["op"], "ok");
    rig.publish([(2, "b".to_owned())]);
    let ops = client.fold_to_progress(2).await;
    assert_eq!(ops.iter().find(|op| *op != "progress").map(String::as_str), Some("delta"));
    assert_eq!(client.rows, BTreeMap::from([("k2".to_owned(), "b".to_owned())]));
    rig.stop().await;
}

#[tokio::test]
async fn progress_says_how_far_behind_event_time_is() {
    let now: Now = Arc::new(|| ReceiveTime(1_700_000_000_000_000_000 + 2_500_999_999));
    let mut rig = Rig::start(ServeOptions { now: Some(now), ..quick() }).await;
    let mut client = rig.client().await;
    client.subscribe("rows").await;
    let mut lag_of = async |epoch: &str| loop {
        let told = client.hear().await;
        if told["op"] == "progress" && told["epoch"] == epoch {
            return (told["event_time_frontier"].clone(), told["lag_ms"].clone());
        }
    };
    assert_eq!(lag_of("0").await, (Json::Null, Json::Null));
    rig.publish([]);
    assert_eq!(lag_of("1").await, (json!("2023-11-14T22:13:20.000000000Z"), json!(2_500)));
    rig.stop().await;
}

#[tokio::test]
async fn the_end_is_told_at_once_and_to_whoever_comes_later() {
    let heartbeat = Duration::from_secs(1_000);
    let mut rig = Rig::start(ServeOptions { heartbeat, ..ServeOptions::default() }).await;
    let mut early = rig.client().await;
    early.subscribe("rows").await;
    assert_eq!(early.fold().await, "snap");
    rig.publish([(1, "a".to_owned())]);
    rig.hub.end();
    let mut late = rig.client().await;
    late.subscribe("rows").await;
    for (client, op) in [(&mut early, "delta"), (&mut late, "snap")] {
        assert_eq!(client.fold().await, op);
        let progress = client.hear().await;
        assert_eq!(progress["event_time_frontier"], "end", "{progress}");
        assert_eq!((&progress["lag_ms"], &progress["epoch"]), (&Json::Null, &json!("1")));
    }
    rig.stop().await;
}

#[tokio::test]
async fn bad_clients_are_closed_and_the_others_do_not_notice() {
    let hello_timeout = Duration::from_millis(200);
    let mut rig = Rig::start(ServeOptions { hello_timeout, ..quick() }).await;
    let mut good = rig.client().await;
    good.subscribe("rows").await;

    let text = |text: &str| Message::text(text.to_owned());
    let large = format!(r#"{{"op":"ping","id":1,"t":"{}"}}"#, "x".repeat(MAX_FRAME_BYTES));
    for (is_welcomed, message, code) in [
        (true, text("not JSON"), 4400),
        (true, text("[1]"), 4400),
        (true, text(r#"{"id":1}"#), 4400),
        (true, text(r#"{"op":"ping","id":1} {"op":"ping","id":2}"#), 4400),
        (true, Message::binary(br#"{"op":"ping","id":1}"#.to_vec()), 4400),
        (true, text(&large), 1009),
        (true, text(&large.repeat(5)), 1009),
        (false, text("not JSON"), 4400),
        (false, text(r#"{"op":"ping","id":1}"#), 4401),
        (false, Message::Ping(Vec::new().into()), 4408),
    ] {
        let mut bad = if is_welcomed { rig.client().await } else { rig.connect().await };
        let shown = message.to_string().chars().take(30).collect::<String>();
        // The server may close before a very large frame has left.
        let sent = bad.socket.send(message).await;
        assert!(sent.is_ok() || shown.len() == 30, "{sent:?}");
        if sent.is_ok() {
            assert_eq!(bad.close_code().await, code, "{shown}");
        }
    }
    // One that vanishes without a word.
    drop(rig.client().await);

    rig.publish([(1, "a".to_owned())]);
    good.fold_to_progress(1).await;
    assert_eq!(good.rows, rig.shown());
    rig.stop().await;
}

#[tokio::test]
async fn upgrades_are_checked() {
    let origins = vec!["https://desk.example".to_owned()];
    let rig = Rig::start(ServeOptions { origins, max_connections: 1, ..quick() }).await;
    let here = format!("http://{}", rig.at);
    let protocol = ("sec-websocket-protocol", PROTOCOL);
    for (headers, status) in [
        (vec![], StatusCode::BAD_REQUEST),
        (vec![("sec-websocket-protocol", "tapeline.v9")], StatusCode::BAD_REQUEST),
        (vec![protocol, ("origin", "https://evil.example")], StatusCode::FORBIDDEN),
    ] {
        match rig.upgrade(&headers).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status),
            other => panic!("{:?}", other.map(|_| ())),
        }
    }
    let (status, kind, problem) = rig.get("/v1/ws").await;
    assert_eq!((status, kind.as_str()), (400, "application/problem+json"), "{problem}");
    for origin in [here.as_str(), "https://desk.example"] {
        let mut client = rig.upgrade(&[protocol, ("origin", origin)]).await.unwrap();
        let mut refused = rig.connect().await;
        assert_eq!(refused.close_code().await, 4429);
        client.socket.close(None).await.unwrap();
        while client.socket.next().await.is_some() {}
        // The seat is free a moment after the client sees the close.
        sleep(Duration::from_millis(200)).await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_goes_away_says_so() {
    let rig = Rig::start(quick()).await;
    let mut client = rig.client().await;
    client.subscribe("rows").await;
    assert_eq!(client.fold().await, "snap");
    let mut silent = rig.connect().await;
    let heard = async {
        while client.hear().await["code"] != "shutting_down" {}
        (client.close_code().await, silent.close_code().await)
    };
    assert_eq!(tokio::join!(rig.stop(), heard).1, (1001, 1001));
}

#[tokio::test]
async fn silent_clients_are_pinged_and_dropped() {
    let ping_after = Duration::from_millis(100);
    let rig = Rig::start(ServeOptions { ping_after, ..ServeOptions::default() }).await;
    // One that reads answers pings by itself.
    let mut alive = rig.client().await;
    assert!(
        timeout(Duration::from_secs(1), alive.socket.next())
            .await
            .is_ok_and(|m| { matches!(m, Some(Ok(Message::Ping(_)))) })
    );
    let kept = timeout(Duration::from_millis(600), alive.close_code()).await;
    assert!(kept.is_err(), "{kept:?}");
    let mut dead = rig.client().await;
    sleep(Duration::from_millis(600)).await;
    assert_eq!(dead.close_code().await, 1001);
    rig.stop().await;
}

#[tokio::test]
async fn pages_make_the_whole_and_wrong_requests_are_told() {
    let mut rig = Rig::start(ServeOptions { run_id: 77, ..quick() }).await;
    assert_eq!(rig.get("/health/live").await.0, 200);
    assert_eq!(rig.get("/health/ready").await.0, 503);
    rig.hub.set_ready();
    assert_eq!(rig.get("/health/ready").await.0, 200);

    let (_, _, empty) = rig.get("/v1/views/rows").await;
    let nothing = json!({ "epoch": "0", "event_time_frontier": null, "rows": [], "next": null });
    assert_eq!(empty, nothing);
    rig.publish((0..25).map(|key| (key, format!("\"{key}\" é"))));
    let (mut rows, mut path) = (BTreeMap::new(), "/v1/views/rows?limit=10".to_owned());
    let mut lengths = Vec::new();
    loop {
        let (status, kind, page) = rig.get(&path).await;
        assert_eq!((status, kind.as_str()), (200, "application/json"));
        assert_eq!(page["event_time_frontier"], "2023-11-14T22:13:20.000000000Z");
        lengths.push(page["rows"].as_array().unwrap().len());
        for row in page["rows"].as_array().unwrap() {
            rows.insert(
                row["k"].as_str().unwrap().to_owned(),
                row["v"].as_str().unwrap().to_owned(),
            );
        }
        let Some(next) = page["next"].as_str() else { break };
        assert!(next.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)), "{next}");
        path = format!("/v1/views/rows?limit=10&cursor={next}");
    }
    assert_eq!((rows, lengths), (rig.shown(), vec![10, 10, 5]));

    let (_, _, views) = rig.get("/v1/views").await;
    assert_eq!((&views["epoch"], &views["views"][0]["rows"]), (&json!("1"), &json!(25)));
    assert_eq!(views["views"][1]["columns"][0]["type"], "text");

    for (path, status, code) in [
        ("/v1/views/row", 404, "unknown_view"),
        ("/v1/views/%ff", 400, "bad_request"),
        ("/v1/views/rows?limit=0", 400, "bad_request"),
        ("/v1/views/rows?limit=10001", 400, "bad_request"),
        ("/v1/views/rows?limit=ten", 400, "bad_request"),
        ("/v1/views/rows?cursor=", 400, "bad_cursor"),
        ("/v1/views/rows?cursor=4d.0.zz", 400, "bad_cursor"),
        ("/v1/views/rows?cursor=4d.1.5b225b5d225d", 400, "bad_cursor"),
        ("/v1/views/rows?cursor=4e.0.5b5d", 400, "bad_cursor"),
        ("/v1/views/rows?where=x", 400, "unsupported"),
        ("/v1/views/rows?limits=5", 400, "unknown_parameter"),
        ("/v2", 404, "not_found"),
    ] {
        let (got, kind, problem) = rig.get(path).await;
        assert_eq!((got, kind.as_str()), (status, "application/problem+json"), "{path}");
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&json!(code), &json!(status)),
            "{path}"
        );
    }
    let (_, _, problem) = rig.get("/v1/views/row").await;
    assert!(problem["detail"].as_str().unwrap().contains("did you mean `rows`?"), "{problem}");
    rig.stop().await;
}
