//! Imports on one server.

use std::fs;

use crate::harness::{Json, Server, json};
use crate::{import, inv, inv_reads};

/// Every column, on a server with the module's defaults.
#[test]
fn stock_and_settings_are_imported() {
    let server = Server::start_with(&["inv.feed-maxlen 100"]);
    let mut shop = server.connect();
    shop.ask("INV.SET COUNTED AVAILABLE 9");
    shop.ask("INV.RESERVE R ITEMS COUNTED 4");
    shop.ask("INV.SET ADJUSTED AVAILABLE 9");
    let file = "sku,available,on_hand,adjust,priority,threshold,limit,floor,note\n\
        PLAIN,5,,,,,,,\n\
        COUNTED,,20,,,,,,\n\
        ADJUSTED,,,-2,,,,,\"broken, all of them\"\n\
        SET,7,,,,3,2,1,\n\
        \"QUIET \"\"x\"\", 商品\",1,,,,off,,,\n\
        P@A,10,,,1,50,,4,\n\
        P@RETURNS,3,,,closed,,,,\n\
        SOON,-2,,,,,,-5,\n\
        LEFT,,,,,,,,\n";
    let done = import(&server, file).fine();
    assert!(done.starts_with("9 rows: 8 imported in "), "{done}");
    assert!(done.contains(", 0 failed, 1 without a value\nimport id: "), "{done}");

    let stock = |product: &str| {
        let stock = server.connect().ask(["INV.STOCK", product])[0].clone();
        let number = |name: &str| stock[name].as_i64().unwrap_or_else(|| panic!("{name} of {stock}"));
        ["available", "reserved", "floor", "threshold"].map(number)
    };
    assert_eq!(stock("PLAIN"), [5, 0, 0, 10]);
    assert_eq!(stock("COUNTED"), [16, 4, 0, 10], "what is reserved stays reserved");
    assert_eq!(stock("ADJUSTED"), [7, 0, 0, 10]);
    assert_eq!(stock("SET"), [7, 0, 1, 3]);
    assert_eq!(stock("QUIET \"x\", 商品"), [1, 0, 0, -1]);
    assert_eq!(stock("P"), [10, 0, 4, 50]);
    assert_eq!(stock("SOON"), [-2, 0, -5, 10]);
    assert_eq!(shop.ask("GET stock:limit:SET"), "2");
    assert_eq!(shop.ask("ZRANGE stock:warehouses:P 0 -1"), json!(["A", "RETURNS"]));
    assert_eq!(shop.ask("INV.STOCK P")[0]["warehouses"][1]["closed"], 1);
    assert_eq!(shop.ask("INV.STOCK LEFT"), json!([null]));
    let feed = shop.ask("XRANGE inventory:feed - +").to_string();
    assert!(feed.contains("broken, all of them"), "{feed}");
}

#[test]
fn a_broken_row_costs_only_itself_and_is_named_in_the_report() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("INV.WAREHOUSES P SET A 1");
    shop.ask("SET stock:available:TEXT many");
    shop.ask("INV.SET OWN AVAILABLE 4");
    let file = "sku,available,adjust,priority\n\
        A,1,,\n\
        B,one,,\n\
        P,5,,\n\
        TEXT,,5,\n\
        LESS,,-5,\n\
        OWN@W,8,,1\n\
        \"C,1,,\n\
        Z,26,,\n";
    let folder = tempfile::tempdir().expect("a folder");
    let rejects = folder.path().join("rejects.csv");
    let words = ["import", "-", "--rejects", rejects.to_str().expect("text")];
    let done = inv_reads(&server, &words, file);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.err, "");
    assert!(done.out.starts_with("8 rows: 2 imported in "), "{}", done.out);
    for line in [
        "line 3: B: available 'one' is not an integer\n",
        "line 4: P: ERR P is kept in warehouses: name one, as in P@warehouse\n",
        "line 5: TEXT: WRONGTYPE ",
        "line 6: LESS: INSUFFICIENT LESS requested 5, available 0",
        "line 7: OWN@W: priority: ERR OWN has 4 available",
        "line 8: C: a quote is opened and not closed",
    ] {
        let line = line.replace("line 8: C: ", "line 8: ");
        assert!(done.out.contains(&line), "{line} in {}", done.out);
    }
    assert_eq!(shop.ask("MGET stock:available:A stock:available:Z"), json!(["1", "26"]));
    // Its warehouse was refused, so the units would belong to no product.
    assert_eq!(shop.ask("EXISTS stock:available:OWN@W"), 0);

    // The rejected rows as they were.
    let rejected = fs::read_to_string(&rejects).expect("a file");
    let lines: Vec<&str> =
        file.lines().enumerate().filter(|(at, _)| ![1, 8].contains(at)).map(|(_, line)| line).collect();
    assert_eq!(rejected.lines().collect::<Vec<_>>(), lines);
    let corrected = rejected.replace("one", "1").replace("P,5", "P@A,5");
    let done = import(&server, &corrected);
    assert!(done.out.starts_with("6 rows: 2 imported in "), "{}", done.out);

    // For programs.
    let done = inv_reads(&server, &["import", "-", "--json"], file);
    let report = done.json();
    assert_eq!((done.code, &report["rows"], &report["imported"]), (Some(1), &json!(8), &json!(2)));
    let failed = report["failed"].as_array().expect("an array");
    assert_eq!(failed.len(), 6);
    assert_eq!((&failed[0]["line"], &failed[0]["sku"]), (&json!(3), &json!("B")));
}

fn available(server: &Server, sku: &str) -> Json {
    server.connect().ask(["GET", &format!("stock:available:{sku}")])
}

#[test]
fn the_same_file_again_changes_nothing_twice_and_says_so() {
    let server = Server::start();
    let file = "sku,adjust\nA,1\nA,1\nA,2\nB,5\n";
    let first = inv_reads(&server, &["import", "-", "--json"], file).json();
    assert_eq!((&first["imported"], &first["repeated"]), (&json!(4), &json!(0)));
    server.connect().ask("INV.ADJUST B 10");
    let again = inv_reads(&server, &["import", "-", "--json"], file).json();
    assert_eq!((&again["imported"], &again["repeated"], &again["id"]), (&json!(4), &json!(4), &first["id"]));
    assert_eq!([available(&server, "A"), available(&server, "B")], ["4", "15"]);
    let said = import(&server, file).fine();
    assert!(
        said.contains("\n4 rows had been imported with this id before, and changed no units now."),
        "{said}"
    );

    // Under another id it is another import.
    inv_reads(&server, &["import", "-", "--id", "tuesday"], file).fine();
    assert_eq!([available(&server, "A"), available(&server, "B")], ["8", "20"]);
}

#[test]
fn a_corrected_file_with_the_same_id_imports_only_what_was_not_in() {
    let server = Server::start();
    let words = ["import", "-", "--id", "delivery-7"];
    let done = inv_reads(&server, &words, "sku,adjust\nA,10\nB,ten\n");
    assert_eq!(done.code, Some(1));
    assert!(
        done.out.contains("correct these rows and run the command again with --id delivery-7\n"),
        "{}",
        done.out
    );
    let done = inv_reads(&server, &words, "sku,adjust\nNEW,1\nB,10\nA,10\n");
    assert_eq!(done.code, Some(0));
    let units = ["A", "B", "NEW"].map(|sku| available(&server, sku));
    assert_eq!(units, ["10", "10", "1"]);
}

#[test]
fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("INV.SET A AVAILABLE 5");
    shop.ask("INV.SET SAME AVAILABLE 5");
    shop.ask("INV.WAREHOUSES P SET W 1");
    let before = shop.contents();
    let file = "sku,available,adjust,threshold,priority,floor\n\
        A,,-2,3,,\n\
        SAME,5,,,,0\n\
        NEW,7,,,,\n\
        P@W,4,,,closed,\n\
        BAD,x,,,,\n";
    let done = inv_reads(&server, &["import", "-", "--dry-run"], file);
    assert_eq!(done.code, Some(1));
    assert_eq!(
        done.out,
        "5 rows: 3 would change something, 1 would change nothing, 1 would fail (dry run)\n\
         line 2: A: threshold 10 -> 3, available 5 -> 3\n\
         line 4: NEW: new, available 7\n\
         line 5: P@W: priority 1 -> CLOSED, available 0 -> 4\n\
         line 6: BAD: available 'x' is not an integer\n"
    );
    crate::harness::assert_same(&before, &shop.contents());

    let done = inv_reads(&server, &["import", "-", "--dry-run", "--json"], file).json();
    assert_eq!(done["changes"][0]["columns"][1], json!({"column": "available", "before": "5", "after": "3"}));
    assert_eq!(done["changes"][1]["is_new"], true);

    // What an earlier run has imported would not change again.
    let file = "sku,adjust\nA,1\n";
    import(&server, file).fine();
    let said = inv_reads(&server, &["import", "-", "--dry-run"], file).fine();
    assert!(said.starts_with("1 row: 0 would change something, 1 would change nothing"), "{said}");
    assert!(said.contains(", 1 had been imported with this id before (dry run)"), "{said}");
}

#[test]
fn twenty_thousand_rows_arrive_with_their_units() {
    let server = Server::start();
    let rows: String = (0..20_000).map(|number| format!("P-{number},{}\n", number * 7)).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stock.csv");
    fs::write(&path, format!("sku,available\n{rows}")).expect("a file");
    let done = inv(&server, &["import", path.to_str().expect("text")]).fine();
    assert!(done.starts_with("20000 rows: 20000 imported in "), "{done}");
    let mut shop = server.connect();
    for number in (0..20_000).step_by(37) {
        let units = shop.ask(format!("GET stock:available:P-{number}"));
        assert_eq!(units, json!((number * 7).to_string()), "P-{number}");
    }
}

/// What the server would refuse as a mistake is set with --force.
#[test]
fn a_count_below_what_is_promised_needs_force() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("INV.SET A AVAILABLE 5");
    shop.ask("INV.RESERVE R ITEMS A 4");
    let file = "sku,on_hand\nA,3\n";
    let done = import(&server, file);
    assert_eq!(done.code, Some(1));
    assert!(done.out.contains("line 2: A: OVERCOMMITTED "), "{}", done.out);
    inv_reads(&server, &["import", "-", "--force"], file).fine();
    assert_eq!(available(&server, "A"), "-1");
}

#[test]
fn a_file_that_cannot_be_used_is_refused_before_anything_is_sent() {
    let server = Server::start();
    for (file, reason) in
        [("PROD-1,10\n", "inv: line 1, the header: 'PROD-1' is not a column"), ("", "inv: the file is empty")]
    {
        let done = import(&server, file);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
        assert!(done.err.starts_with(reason), "{}", done.err);
    }
    let done = inv(&server, &["import", "/nonexistent/stock.csv"]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.starts_with("inv: /nonexistent/stock.csv cannot be read: "), "{}", done.err);
    let done = inv_reads(&server, &["import", "-", "--id", ""], "sku,adjust\nA,1\n");
    assert_eq!(done.code, Some(2));
    assert_eq!(server.connect().ask("DBSIZE"), 0);
}
