//! The module in a cluster.

use crate::harness::{SOON, json, wait_for};
use crate::shards::Cluster;

#[test]
fn abandoned_units_come_back_in_a_cluster_too() {
    let cluster = Cluster::start(1);
    let mut shop = cluster.shop("P");
    shop.ask("INV.ADJUST P 10");
    shop.ask("INV.RESERVE {P}:R1 PX 50 ITEMS P 4");
    wait_for("the units are back", SOON, (10, 0), || shop.counters("{P}"));
    assert_eq!(shop.ask("INV.GET {P}:R1")["state"], json!("expired"));
    cluster.check_keys();
}
