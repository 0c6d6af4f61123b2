//! What an insert costs the server, by format.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use connectors::sink::SinkView;
use connectors::sinks::clickhouse::{Mode, ddl};
use types::relations::RelationKind;

use super::{Server, start};

/// Sends a statement with bytes behind it; the bytes that came back.
fn post(server: &Server, sql: &str, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port)).expect("connecting");
    let length = sql.len() + 1 + bytes.len();
    let head = format!("POST / HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    for piece in [head.as_bytes(), sql.as_bytes(), b"\n", bytes] {
        socket.write_all(piece).expect("sending");
    }
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("reading");
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("an answer has a head");
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    assert!(head.contains(" 200 "), "{sql}: {}", String::from_utf8_lossy(&body));
    body
}

/// What the server's queries have used of the processor, in microseconds.
fn cpu_us(server: &Server) -> u64 {
    let sql = "SELECT value FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'";
    server.query(sql).trim().parse().expect("it is a number")
}

#[test]
#[ignore = "prints what inserts cost the server: run it alone"]
fn what_inserts_cost() {
    let folder = tempfile::tempdir().expect("making a folder");
    let Some(server) = start(&folder.path().join("data"), 0) else { return };
    let (kind, name) = (RelationKind::Positions, "positions".to_string());
    let view = SinkView { name, kind, schema: Arc::new(kind.schema().expect("it is built in")) };
    server.query("CREATE DATABASE own");
    for sql in ddl(&view, "own", Mode::Rows) {
        server.query(&sql);
    }
    let rows = "SELECT 'exchange' AS venue, concat('0x', lower(hex(sipHash128(intDiv(number, 10)))), \
        '01234567') AS wallet, toString(cityHash64(number % 997)) AS asset, \
        CAST(concat('market ', toString(number % 100)) AS Nullable(String)) AS market, \
        toDecimal128(cityHash64(number) % 1000000, 9) / 7 AS qty, \
        if(number % 20 = 0, NULL, qty * 13) AS cost, \
        if(number % 20 = 0, NULL, toDecimal64(cityHash64(number) % 997, 9) / 7) AS avg_price, \
        qty / 11 AS realized_pnl, qty / 13 AS fees, toDecimal128(0, 9) AS funding, \
        toUInt64(number % 50) AS n_fills, toDecimal128(0, 9) AS unmatched_size, \
        toInt8(if(number % 20 = 0, 2, 1)) AS basis, toDecimal128(0, 9) AS unknown_closed, \
        fromUnixTimestamp64Nano(1700000000000000000 + toInt64(number) * 1000000) AS updated_at, \
        1099511627776::UInt64 AS _version, 0::UInt8 AS _deleted FROM numbers(500000) \
        ORDER BY venue, wallet, asset";
    // As one block, which is what a `Memory` table keeps.
    server.query(&format!(
        "CREATE TABLE own.block ENGINE = Memory AS {rows} SETTINGS max_insert_threads = 1, \
         min_insert_block_size_rows = 1000000, min_insert_block_size_bytes = 1000000000"
    ));
    let bodies = ["RowBinary", "Native"].map(|format| {
        let sql = format!(
            "SELECT * FROM own.block SETTINGS max_block_size = 1000000, max_threads = 1 \
             FORMAT {format}"
        );
        (format, post(&server, &sql, b""))
    });
    for _ in 0..5 {
        for (format, bytes) in &bodies {
            server.query("TRUNCATE TABLE own.positions SYNC");
            let sql =
                format!("INSERT INTO own.positions SETTINGS async_insert = 0 FORMAT {format}");
            let start = cpu_us(&server);
            post(&server, &sql, bytes);
            let took = cpu_us(&server) - start;
            let parts = "SELECT count(), sum(rows) FROM system.parts \
                         WHERE active AND database = 'own' AND table = 'positions'";
            assert_eq!(server.query(parts), "1\t500000\n");
            println!("500000 positions as {format}, {} bytes: {took} us of CPU time", bytes.len());
        }
    }
}
