//! Imports that are interrupted.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{Json, LATER, Server, wait_until};
use crate::shards::{Cluster, slots_of};
use crate::slots::slot_of;
use crate::{Done, inv, plain_command, url};

const ROWS: usize = 40_000;

/// Each row adds a unit to a sku of its own, so that a row that is missing or there twice shows.
fn deliveries(folder: &Path) -> String {
    let rows: String = (0..ROWS).map(|number| format!("P-{number},1\n")).collect();
    let path = folder.join("deliveries.csv");
    fs::write(&path, format!("sku,adjust\n{rows}")).expect("a file");
    path.to_str().expect("text").to_owned()
}

fn start(server: &Server, path: &str) -> Child {
    start_with(server, &["import", path])
}

fn start_with(server: &Server, words: &[&str]) -> Child {
    plain_command(words)
        .env("INV_URL", url(server))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("inv starts")
}

fn end(child: Child) -> Done {
    let done = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Done { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(status.success());
}

/// The number of this name in a report.
fn number(report: &Json, name: &str) -> usize {
    let number = report[name].as_u64().unwrap_or_else(|| panic!("{name} of {report}"));
    usize::try_from(number).expect("a number")
}

/// Asserts that this is the report of an import that ended early. Returns how many rows are in, at least.
#[track_caller]
fn assert_ended_early(done: &Done) -> usize {
    let report = done.json();
    assert_eq!(report["is_complete"], false, "{done:?}");
    assert!(done.err.contains(report["error"].as_str().expect("a reason")), "{done:?}");
    let imported = number(&report, "imported");
    assert_eq!((number(&report, "rows"), number(&report, "left")), (ROWS, ROWS - imported), "{done:?}");
    imported
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

#[test]
fn an_import_whose_server_is_lost_reports_what_it_has_done() {
    let mut server = Server::start_with(&["appendonly yes", "appendfsync always"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = deliveries(folder.path());
    let children = [&["import", &path, "--json"][..], &["import", &path, "--id", "other"]]
        .map(|words| start_with(&server, words));
    // Both add to the same counters, and have tokens of their own.
    wait_until("both have begun", LATER, || server.connect().ask("GET stock:available:P-5000") == "2");
    server.kill();
    let [json, words] = children.map(end);
    assert_eq!((json.code, words.code), (Some(3), Some(3)), "{json:?}, {words:?}");
    let imported = assert_ended_early(&json);
    assert!((1..ROWS).contains(&imported), "{imported} rows are in");
    assert!(words.out.starts_with("40000 rows: ") && words.out.contains(" left, because "), "{words:?}");
    assert!(words.out.ends_with("run the same command again. It changes no units twice\n"), "{words:?}");
    assert!(words.err.starts_with("inv: 127.0.0.1:"), "{words:?}");

    server.start_again();
    let report = inv(&server, &["import", &path, "--json"]).json();
    assert_eq!((&report["is_complete"], number(&report, "imported")), (&true.into(), ROWS));
    assert!(number(&report, "repeated") >= imported, "{report}");
}

#[test]
fn an_import_that_is_interrupted_reports_what_it_has_done() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = deliveries(folder.path());
    // Once the server answers, and once it does not.
    for (share, answers) in [(1, true), (3, false)] {
        let child = start_with(&server, &["import", &path, "--json", "--timeout", "2"]);
        wait_until("a part is in", LATER, || arrived(&server) > ROWS * share / 8);
        server.freeze();
        interrupt(&child);
        if answers {
            server.thaw();
        }
        let done = end(child);
        server.thaw();
        assert_eq!(done.code, Some(130), "{done:?}");
        let imported = assert_ended_early(&done);
        assert!(imported > 0 && imported <= arrived(&server), "{imported}");
    }
    // A second signal does not wait for the server.
    let mut child = start(&server, &path);
    wait_until("a part is in", LATER, || arrived(&server) > ROWS * 5 / 8);
    server.freeze();
    wait_until("it has ended", Duration::from_secs(5), || {
        interrupt(&child);
        child.try_wait().expect("a child of ours").is_some()
    });
    server.thaw();
    assert_eq!(end(child).code, Some(130));
    assert_eq!(number(&inv(&server, &["import", &path, "--json"]).json(), "imported"), ROWS);
    assert_each_is_in_once(&server);
}

/// Replication is asynchronous: the replica that takes over may lack the newest rows, with their tokens.
#[test]
fn a_failover_of_a_cluster_in_the_middle_of_an_import_loses_no_row_if_it_is_run_again() {
    let mut cluster = Cluster::start_with(3, 1, &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = deliveries(folder.path());
    let child = start_with(&cluster.masters[1], &["import", &path, "--json"]);
    wait_until("a part is in", LATER, || arrived(&cluster.masters[0]) > ROWS / 3 / 8);
    cluster.masters[0].kill();
    let done = end(child);
    match done.code {
        Some(0) => assert_eq!(number(&done.json(), "imported"), ROWS, "{done:?}"),
        Some(3) => assert!(assert_ended_early(&done) < ROWS),
        _ => panic!("{done:?}"),
    }
    let replica = &cluster.replicas[0][0];
    wait_until("its replica has taken over", LATER, || !slots_of(&mut replica.connect()).is_empty());
    wait_until("all slots are served", LATER, || {
        let info = cluster.masters[1].connect().ask("CLUSTER INFO");
        info.as_str().is_some_and(|info| info.contains("cluster_state:ok"))
    });
    let again = inv(&cluster.masters[1], &["import", &path, "--json"]);
    let report = again.json();
    assert_eq!((again.code, number(&report, "imported")), (Some(0), ROWS), "{again:?}");
    assert!(number(&report, "repeated") > ROWS / 8, "{report}");

    let mut rest: Vec<String> = (0..ROWS).map(|number| format!("P-{number}")).collect();
    for master in cluster.masters_now() {
        let mut shop = master.connect();
        let slots = slots_of(&mut shop);
        let (own, others): (Vec<String>, _) = rest.into_iter().partition(|sku| slots.contains(&slot_of(sku)));
        rest = others;
        let reads: Vec<String> = own.iter().map(|sku| format!("GET stock:available:{{{sku}}}")).collect();
        for (names, reads) in own.chunks(1000).zip(reads.chunks(1000)) {
            let units = shop.burst(reads);
            let wrong = names.iter().zip(&units).find(|(_, units)| **units != "1");
            assert_eq!(wrong, None);
        }
    }
    assert!(rest.is_empty(), "{} skus have no master", rest.len());
}
