//! The final account finds what does not agree, and it shares nothing with the shop.

use fastrand::Rng;

use crate::assert_agrees;
use crate::example::orders::Method;
use crate::example::protocol::OrderState;
use crate::example::shop::Shop;
use crate::example::world::{Plan, World};

#[test]
fn the_account_uses_nothing_of_the_shop() {
    let source = include_str!("../../examples/shop/account.rs");
    for word in ["super::", "crate::", "self::"] {
        assert!(!source.contains(word), "account.rs uses {word}");
    }
}

#[test]
fn the_account_finds_every_kind_of_difference() {
    let world = World::open(Plan::default());
    let process = world.process();
    let mut shop = Shop::open(&process.settings).expect("a shop");
    let mut dice = Rng::with_seed(1);
    let mut sell = || {
        let cart = world.cart(&mut dice, Method::Authorise);
        assert_eq!(shop.checkout(&cart).expect("no fault"), OrderState::Sold);
        cart
    };
    let (one, other) = (sell(), sell());
    assert_agrees(&world.account());
    let mut stock = world.stock();
    let finds = |what: &str, words: &str| {
        let account = world.account();
        let found = account.differences.iter().any(|difference| difference.contains(words));
        assert!(found, "{what}: {account}");
    };

    // Units that are held for an order that is over.
    let line = &one.lines[0];
    stock.ask(format!("INV.RESERVE {}:9 ITEMS {} 1", one.order, line.0));
    finds("held", "holds units");
    // The same units sold to it once more, and then given back behind its back.
    stock.ask(format!("INV.COMMIT {}:9", one.order));
    finds("sold twice", "its sales are");
    stock.ask(format!("DEL inventory:outcome:{}:9", one.order));
    finds("a missing unit", "are available");
    stock.ask(format!("INV.ADJUST {} 1", line.0));
    assert_agrees(&world.account());

    // Units that are sold without an order.
    stock.ask(format!("INV.RESERVE NOBODY ITEMS {} 1", line.0));
    stock.ask("INV.COMMIT NOBODY");
    finds("without an order", "sold without an order");
    stock.ask("DEL inventory:outcome:NOBODY");
    stock.ask(format!("INV.ADJUST {} 1", line.0));
    assert_agrees(&world.account());

    // An order that was captured and is cancelled, one that was never captured, and one that has not ended.
    for (state, words) in [("cancelled", "its payment is"), ("paid", "is paid")] {
        world.sql(&format!("UPDATE orders SET state = '{state}' WHERE id = '{}'", other.order));
        finds(state, words);
    }
    world.sql(&format!("UPDATE orders SET state = 'sold' WHERE id = '{}'", other.order));
    world.sql(&format!("UPDATE orders SET amount = amount + 1 WHERE id = '{}'", other.order));
    finds("another amount", "its payment is");
}
