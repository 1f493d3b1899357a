//! A process is killed at each step, and each answer is lost, for every way that an order can go. Afterwards, the recovery job
//! brings everything to an end that agrees.

use std::time::Duration;

use fastrand::Rng;

use crate::assert_agrees;
use crate::example::crew::Python;
use crate::example::harness::{SOON, wait_until};
use crate::example::orders::Method;
use crate::example::provider::Mood;
use crate::example::relay::Cut;
use crate::example::shop::{Settings, Shop};
use crate::example::world::{Plan, Process, World};

const CUTS: [Cut; 2] = [Cut::BeforeTheRequest, Cut::BeforeTheAnswer];

/// More steps than any process takes.
const MOST: u64 = 200;

/// Plans a cut for a process whose predecessor has ended.
fn plan(process: &Process, step: u64, cut: Cut) {
    wait_until("the connections of the one before are closed", SOON, || process.line.is_idle());
    process.line.cut_at(step, cut);
}

/// A way that an order can go.
struct Way {
    name: &'static str,
    method: Method,
    mood: Mood,
    units: i64,
    change: fn(&mut Settings),
}

fn ways() -> Vec<Way> {
    let way = |name, method, mood| Way { name, method, mood, units: 100_000, change: |_| {} };
    vec![
        way("a card that is good", Method::Authorise, Mood::GOOD),
        way("a card that is declined", Method::Authorise, Mood { declines: 100, ..Mood::GOOD }),
        way("a capture that is refused", Method::Authorise, Mood { refuses_capture: 100, ..Mood::GOOD }),
        way("a payment at once", Method::Charge, Mood::GOOD),
        way("a payment that takes days", Method::Charge, Mood { pending: 100, ..Mood::GOOD }),
        Way { units: 0, ..way("no units", Method::Authorise, Mood::GOOD) },
        Way {
            change: |settings| settings.time_to_pay = Duration::from_millis(1),
            ..way("a deadline that passes before the payment", Method::Charge, Mood::GOOD)
        },
    ]
}

#[test]
fn a_checkout_that_is_killed_at_any_step_or_loses_any_answer_leaves_an_order_that_is_finished() {
    let mut world = World::open(Plan::default());
    for way in ways() {
        world = world.next(Plan { mood: way.mood, units: way.units, ..Plan::default() });
        let mut dice = Rng::with_seed(7);
        let mut process = world.process();
        (way.change)(&mut process.settings);
        let mut killed = 0;
        for cut in CUTS {
            for step in 0.. {
                assert!(step < MOST, "{}: this does not end", way.name);
                plan(&process, step, cut);
                let cart = world.cart(&mut dice, way.method);
                let done = Shop::open(&process.settings).and_then(|mut shop| shop.checkout(&cart));
                let is_cut = process.line.is_cut();
                process.line.mend();
                if !is_cut {
                    done.unwrap_or_else(|error| panic!("{}: {error}", way.name));
                    break;
                }
                killed += 1;
            }
        }
        assert!(killed > 30, "{}: killed only {killed} times", way.name);
        let account = world.settle();
        eprintln!("{}: killed {killed} times\n{account}", way.name);
        assert_agrees(&account);
    }
}

#[test]
fn a_recovery_job_that_is_killed_at_any_step_or_loses_any_answer_is_continued_by_another() {
    let world = World::open(Plan { mood: Mood { refuses_capture: 30, ..Mood::GOOD }, ..Plan::default() });
    let mut dice = Rng::with_seed(8);
    let (process, job) = (world.process(), world.process());
    let mut killed = 0;
    for cut in CUTS {
        for step in 0.. {
            assert!(step < MOST, "this does not end");
            // An order that a checkout has left at any step.
            plan(&process, dice.u64(4..40), Cut::BeforeTheAnswer);
            let cart = world.cart(&mut dice, Method::Authorise);
            let _ = Shop::open(&process.settings).and_then(|mut shop| shop.checkout(&cart));
            process.line.mend();
            world.let_payments_time_out();
            plan(&job, step, cut);
            let done = Shop::open(&job.settings).and_then(|mut shop| shop.recover());
            let is_cut = job.line.is_cut();
            job.line.mend();
            // An order that leaves nothing to do makes a short round, so the last step is far beyond that.
            if !is_cut && step > 60 {
                done.unwrap_or_else(|error| panic!("{error}"));
                break;
            }
            killed += u64::from(is_cut);
        }
    }
    assert!(killed > 60, "killed only {killed} times");
    let account = world.settle();
    eprintln!("killed {killed} times\n{account}");
    assert_agrees(&account);
}

#[test]
fn the_same_holds_for_the_checkout_in_python() {
    let world = World::open(Plan { mood: Mood { refuses_capture: 20, ..Mood::GOOD }, ..Plan::default() });
    let mut dice = Rng::with_seed(9);
    let process = world.process();
    let mut shop = Python::start(&process, "checkout");
    let mut killed = 0;
    for method in [Method::Authorise, Method::Charge] {
        for cut in CUTS {
            for step in 0.. {
                assert!(step < MOST, "this does not end");
                process.line.cut_at(step, cut);
                shop.send(&world.cart(&mut dice, method));
                let answer = shop.answer();
                let is_cut = process.line.is_cut();
                process.line.mend();
                if !is_cut {
                    assert!(answer.ends_with(" sold") || answer.ends_with(" cancelled"), "{answer}");
                    break;
                }
                assert!(answer.contains("broken"), "{answer}");
                killed += 1;
            }
        }
    }
    shop.end();
    assert!(killed > 60, "killed only {killed} times");
    let account = world.settle();
    eprintln!("killed {killed} times\n{account}");
    assert_agrees(&account);
}
