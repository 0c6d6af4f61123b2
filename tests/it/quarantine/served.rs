//! Rows that couldn't be used, over REST.

use serde_json::json;
use tapeline::serve::ServeOptions;

use crate::program::Folder;
use crate::server::Rig;

#[tokio::test]
async fn quarantine_is_served_as_far_as_it_is_written() {
    let folder = Folder::new();
    let row = |source: &str, line: u64, reason: &str| {
        json!({ "source": source, "path": "a.csv", "line": line, "reason": reason }).to_string()
    };
    let rows =
        [row("a", 2, "not_a_number"), row("b", 3, "unknown_side"), row("a", 9, "not_a_number")];
    // The last row is being written.
    folder.write("quarantine.jsonl", rows.join("\n") + "\n{\"source\":\"a\",\"li");
    let quarantine = Some(folder.path("quarantine.jsonl"));
    let rig = Rig::start(ServeOptions { quarantine, ..ServeOptions::default() }).await;
    let (status, _, all) = rig.get("/v1/quarantine").await;
    assert_eq!(status, 200);
    let counts = json!([
        { "source": "a", "reason": "not_a_number", "rows": 2 },
        { "source": "b", "reason": "unknown_side", "rows": 1 },
    ]);
    assert_eq!(all["counts"], counts);
    assert_eq!(all["rows"].as_array().unwrap().len(), 3);
    let (_, _, some) = rig.get("/v1/quarantine?source=a&reason=not_a_number&limit=1").await;
    assert_eq!((&some["counts"][0]["rows"], &some["rows"][0]["line"]), (&2.into(), &2.into()));
    assert_eq!(some["rows"].as_array().unwrap().len(), 1);
    let (status, _, one) = rig.get("/v1/quarantine/3").await;
    assert_eq!((status, &one["number"], &one["line"]), (200, &3.into(), &9.into()));
    for (path, status, code) in [
        ("/v1/quarantine/4", 404, "unknown_row"),
        ("/v1/quarantine/x", 400, "bad_request"),
        ("/v1/quarantine?limit=0", 400, "bad_request"),
        ("/v1/quarantine?reasons=x", 400, "unknown_parameter"),
    ] {
        let (found, _, problem) = rig.get(path).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{path}");
    }
    // A run without any has no file.
    std::fs::remove_file(folder.path("quarantine.jsonl")).unwrap();
    let (status, _, none) = rig.get("/v1/quarantine").await;
    assert_eq!((status, none), (200, json!({ "counts": [], "rows": [] })));
    rig.stop().await;
}
