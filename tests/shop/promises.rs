//! The rules of the protocol, one by one.

use std::time::Duration;

use fastrand::Rng;

use crate::assert_agrees;
use crate::example::Failure;
use crate::example::crew::Python;
use crate::example::orders::{Cart, Method};
use crate::example::protocol::OrderState;
use crate::example::provider::{DAY, Mood};
use crate::example::relay::Cut;
use crate::example::shop::Shop;
use crate::example::world::{Plan, World};

fn open(world: &World) -> Shop {
    Shop::open(&world.process().settings).unwrap_or_else(|error| panic!("{error}"))
}

fn cart(world: &World, method: Method) -> Cart {
    world.cart(&mut Rng::with_seed(3), method)
}

fn done<T>(result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// A cart whose order was left while its payment was under way.
fn left_after_payment(world: &World) -> Cart {
    let process = world.process();
    for step in 10.. {
        let cart = cart(world, Method::Authorise);
        process.line.cut_at(step, Cut::BeforeTheAnswer);
        let _ = Shop::open(&process.settings).and_then(|mut shop| shop.checkout(&cart));
        if world.sql(&format!("SELECT state FROM orders WHERE id = '{}'", cart.order)) == "paid" {
            return cart;
        }
        world.let_payments_time_out();
        done(open(world).recover());
    }
    unreachable!()
}

#[test]
fn a_null_of_inv_get_ends_no_order_and_a_delayed_reserve_is_refused_after_the_end() {
    let world = World::open(Plan::default());
    let mut shop = open(&world);
    let cart = cart(&world, Method::Authorise);
    // The checkout stops before its RESERVE arrives.
    let process = world.process();
    for step in 0.. {
        process.line.cut_at(step, Cut::BeforeTheAnswer);
        let _ = Shop::open(&process.settings).and_then(|mut shop| shop.checkout(&cart));
        if world.sql("SELECT count(*) FROM outbox") == "1" {
            break;
        }
    }
    let mut stock = world.stock();
    assert!(stock.ask(format!("INV.GET {}", cart.order)).is_null());
    assert_eq!(done(shop.recover()), 0, "the customer may still pay");
    world.let_payments_time_out();
    done(shop.recover());
    let late = stock.refusal(format!("INV.RESERVE {} ITEMS SKU-0 1", cart.order));
    assert!(late.starts_with("ROLLEDBACK"), "{late}");
    assert_agrees(&world.settle());
}

#[test]
fn money_that_arrives_days_after_the_cancellation_is_given_back_once() {
    let world = World::open(Plan { mood: Mood { pending: 100, ..Mood::GOOD }, ..Plan::default() });
    let mut shop = open(&world);
    let mut cancelled = 0;
    for _ in 0..40 {
        let cart = cart(&world, Method::Charge);
        assert_eq!(done(shop.checkout(&cart)), OrderState::Placed);
        let order = done(shop.order(&cart.order));
        assert_eq!(done(shop.cancel(&order)), OrderState::Cancelled);
        cancelled += 1;
    }
    let account = world.settle();
    assert_agrees(&account);
    assert!(account.refunded > 0, "some transfers arrive nevertheless: {account}");
    assert_eq!(account.refunded + account.cancelled, cancelled);
}

#[test]
fn a_payment_after_the_deadline_sells_the_units_if_they_are_left_and_is_refunded_otherwise() {
    for (units, expected) in [(1000, OrderState::Sold), (0, OrderState::Cancelled)] {
        let world = World::open(Plan::default());
        let mut shop = open(&world);
        let cart = left_after_payment(&world);
        let mut stock = world.stock();
        stock.ask(format!("INV.EXTEND {} PX 1", cart.order));
        // Others buy what has come back.
        let mut rest = Vec::new();
        for (sku, _) in &cart.lines {
            let stock_of = loop {
                let found = stock.ask(format!("INV.STOCK {sku}"))[0].clone();
                if found["reserved"] == 0 {
                    break found["available"].as_i64().expect("units");
                }
            };
            if units == 0 {
                rest.push((sku.clone(), stock_of));
            }
        }
        if !rest.is_empty() {
            let others = Cart { order: "OTHERS".to_owned(), lines: rest, ..cart.clone() };
            assert_eq!(done(shop.checkout(&others)), OrderState::Sold);
        }
        world.let_payments_time_out();
        done(shop.recover());
        assert_eq!(done(shop.order(&cart.order)).state, expected);
        assert_agrees(&world.settle());
    }
}

#[test]
fn a_webhook_that_arrives_while_an_order_is_finished_is_not_forgotten() {
    let world = World::open(Plan::default());
    let mut shop = open(&world);
    let cart = left_after_payment(&world);
    let order = done(shop.order(&cart.order));
    done(shop.webhook("event-x", &cart.order));
    // The one who has read the order before cannot take it from the outbox.
    done(shop.finish(&cart.order));
    done(shop.webhook("event-y", &cart.order));
    done(shop.webhook("event-y", &cart.order));
    let reasons = || world.sql(&format!("SELECT reasons FROM outbox WHERE order_id = '{}'", cart.order));
    assert_eq!(reasons(), "1", "a repeated event is no new reason");
    let mut orders = done(crate::example::orders::Orders::connect(&world.process().settings.postgres));
    done(shop.webhook("event-z", &cart.order));
    done(orders.done(&order));
    assert_eq!(reasons(), "2", "it was deleted by one who did not know");
    assert_agrees(&world.settle());
}

#[test]
fn an_order_that_is_older_than_outcomes_are_remembered_is_shown_to_a_person() {
    let world = World::open(Plan::default());
    let mut shop = open(&world);
    let sold = cart(&world, Method::Authorise);
    assert_eq!(done(shop.checkout(&sold)), OrderState::Sold);
    let cart = left_after_payment(&world);
    let mut stock = world.stock();
    stock.ask(format!("INV.COMMIT {}", cart.order));
    // A day passes, and the server forgets how both have ended.
    world.sql("UPDATE orders SET placed_at = placed_at - interval '1 day'");
    for order in [&sold.order, &cart.order] {
        stock.ask(format!("DEL inventory:outcome:{order}"));
    }
    world.sql(&format!("INSERT INTO outbox VALUES ('{}', now())", sold.order));
    world.let_payments_time_out();
    done(shop.recover());
    let problem = world.sql("SELECT problem FROM outbox WHERE problem IS NOT NULL");
    let expected = format!("order {0} is paid, and reservation {0} is forgotten", cart.order);
    assert_eq!(problem, expected, "a sold order needs nothing, and nobody sells the other one twice");
}

#[test]
fn with_appendfsync_always_a_restart_loses_no_answer() {
    let world = World::open(Plan::default());
    let mut shop = open(&world);
    for _ in 0..100 {
        assert_eq!(done(shop.checkout(&cart(&world, Method::Authorise))), OrderState::Sold);
    }
    world.restart_stock(None);
    assert_agrees(&world.account());
    let mut shop = open(&world);
    assert!(done(shop.recover()) > 0, "the recovery job looks at the orders again");
    assert_eq!(shop.repairs.lost, 0);
    assert_agrees(&world.account());
}

#[test]
fn a_promoted_replica_is_told_of_every_sale_that_it_has_missed() {
    let world = World::open(Plan { products: 1, units: 10, ..Plan::default() });
    let mut shop = open(&world);
    let one = |order: &str| Cart {
        order: order.to_owned(),
        lines: vec![("SKU-0".to_owned(), 2)],
        method: Method::Authorise,
        amount: 100,
    };
    done(shop.checkout(&one("KEPT")));
    done(shop.recover());
    let mut stock = world.stock();
    stock.ask("PUBLISH a b");
    assert_eq!(stock.ask("WAIT 1 5000"), 1);
    world.part();
    for order in ["A", "B"] {
        assert_eq!(done(shop.checkout(&one(order))), OrderState::Sold);
    }
    world.fail_over();
    // The new master has 8 units. Two customers buy six of them before the recovery job is there.
    let mut shop = open(&world);
    for order in ["C", "D", "E"] {
        assert_eq!(done(shop.checkout(&one(order))), OrderState::Sold);
    }
    done(shop.recover());
    assert_eq!(shop.repairs.lost, 2);
    let state = |order: &str| {
        world.sql(&format!("SELECT state || ' ' || reservation FROM orders WHERE id = '{order}'"))
    };
    let mut states = [state("A"), state("B")];
    states.sort();
    assert!(states[0].starts_with("cancelled ") && states[1].starts_with("sold "), "{states:?}");
    assert!(states[1].ends_with(":2"), "it was reserved again under an id of its own: {states:?}");
    assert_eq!(state("KEPT"), "sold KEPT");
    let account = world.settle();
    assert_agrees(&account);
    assert_eq!((account.sold, account.refunded, account.on_hand), (5, 1, 0));
}

#[test]
fn a_recovery_job_in_python_finishes_what_a_shop_in_rust_has_left() {
    let world = World::open(Plan::default());
    let cart = left_after_payment(&world);
    let process = world.process();
    let job = Python::start(&process, "recover");
    world.let_payments_time_out();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while world.sql(&format!("SELECT state FROM orders WHERE id = '{}'", cart.order)) != "sold" {
        assert!(std::time::Instant::now() < deadline, "it is not finished");
    }
    job.end();
    world.provider.let_pass(DAY);
    assert_agrees(&world.settle());
}
