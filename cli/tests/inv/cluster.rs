//! A cluster of three masters, named by one of them.

use std::collections::BTreeSet;

use crate::harness::json;
use crate::shards::Cluster;
use crate::{import, inv};

const PRODUCTS: usize = 300;

#[test]
fn of_a_cluster_everything_goes_to_all_masters() {
    let cluster = Cluster::start(3);
    let mut file = "sku,available,threshold,priority\n".to_owned();
    for number in 0..PRODUCTS {
        file += &format!("P-{number},{number},,\nQ-{number}@W,5,20,1\nQ-{number}@V,7,20,closed\n");
    }
    let done = import(&cluster.masters[0], &file).fine();
    assert!(done.starts_with("900 rows: 900 imported in "), "{done}");
    cluster.check_keys();
    for node in &cluster.masters {
        assert!(node.connect().ask("DBSIZE").as_u64() > Some(100), "each master has its share");
    }
    let again = import(&cluster.masters[1], &file).fine();
    assert!(again.contains("900 rows had been imported with this id before"), "{again}");

    let text = inv(&cluster.masters[2], &["export"]).fine();
    let exported: BTreeSet<&str> = text.lines().skip(1).collect();
    let expected: Vec<String> = (0..PRODUCTS)
        .flat_map(|number| {
            [
                format!("P-{number},{number},0,,,,"),
                format!("Q-{number}@W,5,0,1,,20,"),
                format!("Q-{number}@V,7,0,closed,,20,"),
            ]
        })
        .collect();
    assert_eq!(exported, expected.iter().map(String::as_str).collect());
    assert_eq!(text.lines().count(), 1 + 3 * PRODUCTS, "none is there twice");

    let low = inv(&cluster.masters[1], &["low", "--json"]);
    let low = low.json();
    // P-0 to P-10, and every Q: 5 are at most 20.
    assert_eq!(low.as_array().map(Vec::len), Some(11 + PRODUCTS));
    assert_eq!(low[0]["product"], "P-0");
}

#[test]
fn a_slot_that_moves_between_masters_of_a_cluster_loses_no_row() {
    let cluster = Cluster::start(2);
    import(&cluster.masters[0], "sku,adjust\nP,5\n").fine();
    let to = 1 - cluster.owner("P");
    cluster.move_slot("P", to);
    // Each of them is asked first.
    for (number, master) in cluster.masters.iter().enumerate() {
        import(master, &format!("sku,adjust\nP,{}\n", 10 + number)).fine();
    }
    assert_eq!(cluster.shop("P").ask("INV.STOCK P")[0]["available"], json!(26));
    let text = inv(&cluster.masters[0], &["export"]).fine();
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), ["P,26,0,,,,"]);
}
