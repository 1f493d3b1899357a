//! Who connects, and what is said if it does not work.

use crate::harness::{Server, json, server_program};
use crate::{Done, import, inv, inv_reads, plain_command, url};

#[test]
fn without_a_server_the_exit_code_is_3_and_the_text_says_where_none_was() {
    let done = Done::of(plain_command(&["low"]).env("INV_URL", "redis://127.0.0.1:1"), "");
    assert_eq!((done.code, done.out.as_str()), (Some(3), ""));
    assert!(done.err.starts_with("inv: 127.0.0.1:1: ") && done.err.contains("refused"), "{}", done.err);
}

#[test]
fn a_server_without_the_module_is_recognized() {
    let server = Server::start_without_module(server_program(), &[]);
    for words in [&["low"][..], &["export"]] {
        let done = inv(&server, words);
        assert_eq!(done.code, Some(4));
        assert!(done.err.contains("Is the module loaded?"), "{}", done.err);
    }
    let done = import(&server, "sku,available\nA,1\n");
    assert_eq!(done.code, Some(4));
    assert!(done.err.contains("Is the module loaded?"), "{}", done.err);
    assert!(done.out.starts_with("1 row: 0 imported in ") && done.out.contains(", 1 left, "), "{}", done.out);
}

#[test]
fn a_server_that_does_not_answer_is_given_up_after_the_timeout() {
    let server = Server::start();
    server.freeze();
    let done = inv(&server, &["low", "--timeout", "1"]);
    server.thaw();
    assert_eq!(done.code, Some(3));
    assert!(done.err.contains("does not answer"), "{}", done.err);
}

/// The users that redis.conf suggests.
#[test]
fn users_of_the_acl_do_what_they_may() {
    let server = Server::start();
    let mut shop = server.connect();
    let user = |name: &str| {
        let conf = include_str!("../../../redis.conf");
        let line =
            conf.lines().find_map(|line| line.strip_prefix(&format!("# user {name} "))).expect("a user");
        line.replace("#SHA-256-OF-A-PASSWORD", ">p@ss word")
    };
    for name in ["warehouse", "observer"] {
        let rules = user(name).replace(">p@ss word", ">p@ss\u{1}word");
        let mut words = vec!["ACL".to_owned(), "SETUSER".to_owned(), name.to_owned()];
        words.extend(rules.split_whitespace().map(|word| word.replace('\u{1}', " ")));
        shop.ask(words.into_iter().map(String::into_bytes).collect::<Vec<_>>());
    }
    shop.ask("ACL SETUSER default on nopass resetkeys resetchannels -@all");
    let run = |name: &str, words: &[&str], input: &str| {
        let url = format!("redis://{name}:p%40ss%20word@127.0.0.1:{}", server.port());
        Done::of(plain_command(words).env("INV_URL", url), input)
    };
    let file = "sku,available,threshold,limit,floor,priority\nA,5,3,2,1,\nP@W,7,,,,1\n";
    let done = run("warehouse", &["import", "-", "--json"], file);
    let report = done.json();
    assert_eq!((done.code, &report["imported"], &report["repeated"]), (Some(0), &json!(2), &json!(null)));
    assert_eq!(run("warehouse", &["low"], "").code, Some(1));
    assert_eq!(run("observer", &["low", "--json"], "").json().as_array().map(Vec::len), Some(1));

    // The observer sees the stock, and not what is set for it.
    let done = run("observer", &["export"], "");
    assert_eq!(done.code, Some(1));
    assert!(done.out.contains("\nA,5,0,,1,,\n"), "{}", done.out);
    assert!(done.err.contains("limits and thresholds are left out"), "{}", done.err);
    let done = run("observer", &["import", "-"], file);
    assert_eq!(done.code, Some(4));
    assert!(done.err.contains("NOPERM") && done.out.contains(": 0 imported in "), "{done:?}");

    // Nobody, or with a wrong password.
    let done = inv(&server, &["low"]);
    assert_eq!(done.code, Some(4));
    let done = Done::of(
        plain_command(&["low"]).env("INV_URL", format!("redis://observer:no@127.0.0.1:{}", server.port())),
        "",
    );
    assert_eq!(done.code, Some(4));
    assert!(done.err.contains("rejects this user") && !done.err.contains(":no@"), "{}", done.err);
}

/// A user whose rules cover some ids imports those, and each other row is refused by itself.
#[test]
fn a_row_that_the_acl_does_not_cover_costs_only_itself() {
    let server = Server::start();
    server.connect().ask("ACL SETUSER clerk on >secret ~shop1:* +inv.set +exists");
    let url = format!("redis://clerk:secret@127.0.0.1:{}", server.port());
    let mut command = plain_command(&["import", "-", "--url", &url]);
    let done = Done::of(&mut command, "sku,available\nshop1:A,1\nshop2:A,1\nshop1:B,1\n");
    assert_eq!(done.code, Some(1));
    assert!(done.out.starts_with("3 rows: 2 imported"), "{}", done.out);
    assert!(done.out.contains("line 3: shop2:A: NOPERM "), "{}", done.out);
}

#[test]
fn both_protocols_and_a_database_can_be_chosen() {
    let server = Server::start();
    for protocol in ["resp2", "resp3"] {
        let url = format!("{}/3?protocol={protocol}", url(&server));
        let run = |words: &[&str], input: &str| Done::of(plain_command(words).env("INV_URL", &url), input);
        run(&["import", "-"], "sku,available,priority\nP@W,5,closed\nA,7,\n").fine();
        let text = run(&["export"], "").fine();
        let mut lines: Vec<&str> = text.lines().skip(1).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["A,7,0,,,,", "P@W,5,0,closed,,,"], "{protocol}");
    }
    assert_eq!(server.connect().ask("EXISTS stock:available:A"), 0);
}

#[test]
fn in_tagged_key_style_the_same_file_works() {
    let server = Server::start_with(&["inv.key-style tagged"]);
    let file = "sku,available,priority,threshold\nP@W,5,1,7\n{shop}:Q,6,,\n";
    inv_reads(&server, &["import", "-"], file).fine();
    let mut shop = server.connect();
    assert_eq!(shop.ask("MGET stock:available:{P}@W stock:available:{shop}:Q"), json!(["5", "6"]));
    let again = inv_reads(&server, &["import", "-", "--json"], file).json();
    assert_eq!(again["repeated"], 2);
    let text = inv(&server, &["export"]).fine();
    let mut lines: Vec<&str> = text.lines().skip(1).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["P@W,5,0,1,,7,", "{shop}:Q,6,0,,,,"]);

    // A user who may ask for nothing but the stock.
    shop.ask("ACL SETUSER clerk on >secret ~* +inv.set +inv.warehouses +inv.threshold +inv.audit");
    let url = format!("redis://clerk:secret@127.0.0.1:{}", server.port());
    Done::of(&mut plain_command(&["import", "-", "--url", &url, "--id", "two"]), file).fine();
}
