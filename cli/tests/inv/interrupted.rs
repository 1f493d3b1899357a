//! Imports that are interrupted.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::harness::{LATER, Server, wait_until};
use crate::{inv, plain_command, url};

const ROWS: usize = 40_000;

/// Each row adds a unit to a sku of its own, so that a row that is missing or there twice shows.
fn deliveries(folder: &Path) -> String {
    let rows: String = (0..ROWS).map(|number| format!("P-{number},1\n")).collect();
    let path = folder.join("deliveries.csv");
    fs::write(&path, format!("sku,adjust\n{rows}")).expect("a file");
    path.to_str().expect("text").to_owned()
}

fn start(server: &Server, path: &str) -> Child {
    plain_command(&["import", path])
        .env("INV_URL", url(server))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("inv starts")
}

/// How many rows are in: each has a counter and a token.
fn arrived(server: &Server) -> usize {
    let size = server.connect().ask("DBSIZE").as_u64().expect("a number");
    usize::try_from(size).expect("a number") / 2
}

fn assert_each_is_in_once(server: &Server) {
    let mut shop = server.connect();
    let names: Vec<String> = (0..ROWS).map(|number| format!("stock:available:P-{number}")).collect();
    for names in names.chunks(1000) {
        let mut words: Vec<Vec<u8>> = vec![b"MGET".to_vec()];
        words.extend(names.iter().map(|name| name.as_bytes().to_vec()));
        let units = shop.ask(words);
        let units = units.as_array().expect("an array");
        let wrong = names.iter().zip(units).find(|(_, units)| **units != "1");
        assert_eq!(wrong, None);
    }
}

#[test]
fn an_import_that_is_killed_again_and_again_brings_each_row_in_once() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = deliveries(folder.path());
    for share in [1, 3, 6] {
        let mut child = start(&server, &path);
        wait_until("a part is in", LATER, || arrived(&server) > ROWS * share / 8);
        // While the server stands still, the import cannot end.
        server.freeze();
        child.kill().expect("a child of ours");
        let done = child.wait().expect("it ends");
        server.thaw();
        assert_eq!(done.code(), None, "it was killed");
    }
    let in_before = arrived(&server);
    assert!((1..ROWS).contains(&in_before), "{in_before} rows are in");
    let said = inv(&server, &["import", &path, "--json"]);
    let report = said.json();
    assert_eq!((said.code, &report["imported"]), (Some(0), &ROWS.into()));
    let repeated = report["repeated"].as_u64().expect("a number");
    assert!(repeated >= in_before as u64 && repeated < ROWS as u64, "{repeated}, {in_before}");
    assert_each_is_in_once(&server);
}

#[test]
fn an_import_goes_on_by_itself_after_the_server_has_restarted() {
    let mut server = Server::start_with(&["appendonly yes", "appendfsync always"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = deliveries(folder.path());
    let child = start(&server, &path);
    wait_until("a part is in", LATER, || arrived(&server) > ROWS / 10);
    server.kill();
    server.start_again();
    let done = child.wait_with_output().expect("it ends");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_each_is_in_once(&server);
}
