//! The change feed: when it has entries, and what they say.

use super::calls::call;
use super::simulation::Simulation;

/// Ten units of P. The sixth that is reserved raises an alert.
fn shop(feed_maxlen: i64) -> Simulation {
    let mut shop = Simulation::new();
    shop.settings.feed_maxlen = feed_maxlen;
    shop.settings.low_stock_threshold = 4;
    shop.client(&["SET", "stock:available:P", "10"]);
    shop.take_stream();
    shop
}

fn done(shop: &mut Simulation, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    shop.command(words[1], |shop| call(shop, &words)).expect(line);
}

/// The fields of each entry that was replicated, without the timestamp.
fn entries(shop: &mut Simulation) -> Vec<String> {
    let stream = shop.take_stream();
    let added = stream.iter().flatten().filter(|words| words[0] == "XADD");
    added.map(|words| words[6..words.len() - 2].join(" ")).collect()
}

#[test]
fn an_alert_is_an_entry_after_the_change_that_raised_it() {
    let mut shop = shop(100);
    done(&mut shop, "INV.RESERVE A ITEMS P 6");
    assert_eq!(
        entries(&mut shop),
        [
            "event reserved reservation_id A sku P quantity 6 available 4 reserved 6",
            "event alert product_id P type LOW_STOCK available 4 threshold 4",
        ]
    );
}

#[test]
fn a_feed_that_is_off_has_no_entries() {
    let mut shop = shop(0);
    for line in ["INV.RESERVE A ITEMS P 6", "INV.REPLACE A B ITEMS P 7", "INV.COMMIT B", "INV.ADJUST P 1"] {
        done(&mut shop, line);
    }
    assert_eq!((entries(&mut shop), shop.published.len()), (Vec::new(), 1));
    assert!(!shop.data.contains_key("inventory:feed"));
}
