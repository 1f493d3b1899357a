//! Orders products in different slots of a cluster, with the cluster client of the redis crate:
//!
//!     make cluster
//!     scripts/cargo.sh run --example order -- redis://127.0.0.1:7001
//!
//! A reservation can only hold products of its own slot, and a transaction cannot span slots. So an order consists of one
//! reservation for each tag among its products. The reservations are named after the order and have the same deadline:
//!
//! 1. The shop stores the order in its own database, as *placed*.
//! 2. [`reserve`] holds the units, group by group. If one group is refused, the others are rolled back.
//! 3. The customer pays. The shop stores *paid* before it does anything else.
//! 4. [`commit`] sells the groups. A step that fails is sent again ([`finish`]): an id is sold only once.
//! 5. The shop stores *sold*.
//!
//! Only one process at a time handles an order; the shop's database says which. If that process dies:
//!
//! | when it dies | what is left | how it is resolved |
//! | --- | --- | --- |
//! | after none, some or all of the RESERVEs, before *paid* | held units | the deadline returns them |
//! | during the rollback | some of the held units | the deadline returns them |
//! | after *paid*, before, between or after the COMMITs | a paid order, partly sold | another process finds it *paid* and calls [`finish`], before or after the deadline |
//!
//! This cannot guarantee that either all groups are sold or none. If an order is finished after its deadline, units of one group
//! may have been sold to others in the meantime. Then this group of the paid order remains unsold, although other groups may be
//! sold. [`commit`] returns such groups ([`Unsold`]), and the shop chooses what to do: refund those lines; restock and commit
//! again; or refund everything and take back what was sold with `INV.ADJUST sku n ONCE order`. To make this rare, choose a
//! deadline well after the time that a payment may take.
//!
//! The outcome of an order is remembered for `inv.outcome-ttl-ms` (a day). After that, a group is answered with `NOTFOUND`
//! whether it was sold or not, so choose a time longer than the shop may be down.
//!
//! How the redis crate finds the node:
//!
//! - It takes the first argument of an unknown command for a key. So commands that begin with a reservation or a product are
//!   routed correctly. `INV.SCAN 0 PRODUCT p` and `INV.ALERTS PRODUCT p` reach another node first and follow its MOVED; routing
//!   them to the slot of `p` avoids this.
//! - INV.SCAN and INV.ALERTS without PRODUCT, and INV.AUDITSCAN, cover one node only, and are sent to any node without an error.
//!   Use `route_command` with `MultipleNodeRoutingInfo::AllMasters`. The answer is a map with an entry for each node. A cursor
//!   belongs to its node, so request the next page from that node (`ByAddress`). Do this only without a product: redis 1.8.1
//!   panics if a command to all masters is answered with MOVED.
//! - A read routing strategy alone does not send INV commands to a replica. Combine it with a route with
//!   `SlotAddr::ReplicaOptional`.
//! - A command is sent again if its connection breaks. Commands without an id of their own therefore need ONCE: INV.ADJUST,
//!   INV.TRANSFER, and a RESERVE of `{tag}*`.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::cluster_routing::Slot;
use redis::{ConnectionLike, RedisError, RedisResult, RetryMethod, Value, cmd};

/// An order as the shop's own database has it.
#[derive(Clone, Debug)]
pub struct Order {
    /// Used once: another attempt after a refusal is another order.
    pub id: String,
    /// Products and quantities.
    pub lines: Vec<(String, u64)>,
    /// Unix ms, the same for all groups.
    pub deadline: u64,
}

/// The lines of an order that fit into one reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `{tag}:order`, in the slot of its products.
    pub reservation: String,
    /// Products and quantities.
    pub lines: Vec<(String, u64)>,
}

/// A group of a paid order that could not be sold.
#[derive(Debug)]
pub struct Unsold {
    /// The group.
    pub group: Group,
    /// The reason. `INSUFFICIENT`: the deadline has passed and others have the units. `ROLLEDBACK`: the order was given up.
    /// `NOTFOUND`: the outcome is no longer remembered, or was lost with a master; investigate before you refund. `DRIFT`,
    /// `FOREIGN`: another client has written the keys.
    pub refusal: RedisError,
}

/// The part of an id that decides its slot: the text in its braces, or the whole id.
pub fn tag(id: &str) -> &str {
    let inside = id.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    inside.map_or(id, |(tag, _)| tag)
}

impl Order {
    /// The groups of the order, by tag: `PROD-1` is in the group `{PROD-1}:order`; `{shop7}:CUP` and `{shop7}:PLATE` are in
    /// `{shop7}:order`.
    pub fn groups(&self) -> Vec<Group> {
        let mut by_tag: BTreeMap<&str, Vec<(String, u64)>> = BTreeMap::new();
        for (product, quantity) in &self.lines {
            by_tag.entry(tag(product)).or_default().push((product.clone(), *quantity));
        }
        let group = |(tag, lines)| Group { reservation: format!("{{{tag}}}:{}", self.id), lines };
        by_tag.into_iter().map(group).collect()
    }
}

/// After these, an order can no longer be complete. COMMITTED and MISMATCH are not among them: they mean that an order with this
/// id is sold or is a different one, so its units must not be returned.
const IMPOSSIBLE: &[&str] = &["INSUFFICIENT", "EXPIRED", "ROLLEDBACK", "FOREIGN", "WRONGTYPE"];

/// After these, a group of a paid order cannot be sold for now.
const UNSOLD: &[&str] = &["INSUFFICIENT", "ROLLEDBACK", "NOTFOUND", "DRIFT", "FOREIGN"];

/// Holds the units of all groups or of none. Calling it again gives the same result.
///
/// After any error other than a refusal (the network, a cluster that is down, a wrong command), some groups may be held: call
/// this again, call [`give_up`], or wait for the deadline.
pub fn reserve(connection: &mut dyn ConnectionLike, order: &Order) -> RedisResult<()> {
    for group in order.groups() {
        let mut command = cmd("INV.RESERVE");
        command.arg(&group.reservation).arg("PXAT").arg(order.deadline).arg("ITEMS");
        for (product, quantity) in &group.lines {
            command.arg(product).arg(quantity);
        }
        if let Err(error) = command.query::<Value>(connection) {
            if is_one_of(&error, IMPOSSIBLE) {
                // What cannot be returned now returns at the deadline. The caller needs the refusal.
                let _ = give_up(connection, order);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Returns all units, if the customer cancels. Never call it for an order that is *paid*.
pub fn give_up(connection: &mut dyn ConnectionLike, order: &Order) -> RedisResult<()> {
    let mut answer = Ok(());
    for group in order.groups() {
        match cmd("INV.ROLLBACK").arg(&group.reservation).exec(connection) {
            Err(error) if !is_one_of(&error, &["NOTFOUND"]) => answer = answer.and(Err(error)),
            // Returned, or never held.
            _ => {}
        }
    }
    answer
}

/// Sells all groups of an order that is *paid*, and returns those that could not be sold. Calling it again sells the remaining
/// groups, and nothing twice.
///
/// An error means that a group has not answered: call it again until all have ([`finish`]).
pub fn commit(connection: &mut dyn ConnectionLike, order: &Order) -> RedisResult<Vec<Unsold>> {
    let mut unsold = Vec::new();
    let mut unanswered = Ok(());
    for group in order.groups() {
        let mut answer = cmd("INV.COMMIT").arg(&group.reservation).exec(connection);
        if answer.as_ref().is_err_and(|error| is_one_of(error, &["EXPIRED"])) {
            // The deadline passed before the payment. LATE takes the units again, if they are still free, and sells them in one
            // step.
            answer = cmd("INV.COMMIT").arg(&group.reservation).arg("LATE").exec(connection);
        }
        match answer {
            Ok(()) => {}
            Err(refusal) if is_one_of(&refusal, UNSOLD) => unsold.push(Unsold { group, refusal }),
            // The other groups have the same deadline and should not wait for this one.
            Err(error) => unanswered = unanswered.and(Err(error)),
        }
    }
    unanswered.map(|()| unsold)
}

/// Repeats an idempotent step until it is answered. A refusal by the module is an answer.
pub fn again<T>(patience: Duration, mut step: impl FnMut() -> RedisResult<T>) -> RedisResult<T> {
    let end = Instant::now() + patience;
    loop {
        let answer = step();
        let answered = match &answer {
            Ok(_) => true,
            Err(error) => error.code().is_some() && matches!(error.retry_method(), RetryMethod::NoRetry),
        };
        if answered || Instant::now() >= end {
            return answer;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Calls [`commit`] until every group has answered. A shop does this for each order that it finds *paid*: when it starts, and at
/// regular intervals.
pub fn finish(
    connection: &mut dyn ConnectionLike,
    order: &Order,
    patience: Duration,
) -> RedisResult<Vec<Unsold>> {
    again(patience, || commit(connection, order))
}

/// Connects to the cluster with these nodes.
///
/// The client follows MOVED and ASK. After TRYAGAIN (the slot is being moved) or CLUSTERDOWN, it waits and repeats the command.
/// Without these settings it would wait for more than a second after the first such answer, for minutes after the last, and
/// forever for a node that does not answer. Errors that remain are for [`again`].
pub fn connect(nodes: &[String]) -> RedisResult<ClusterConnection> {
    let client = ClusterClient::builder(nodes.iter().map(String::as_str))
        .connection_timeout(Duration::from_secs(1))
        .response_timeout(Duration::from_secs(1))
        .retries(8)
        .min_retry_wait(10)
        .max_retry_wait(500);
    client.build()?.get_connection()
}

fn is_one_of(error: &RedisError, codes: &[&str]) -> bool {
    error.code().is_some_and(|code| codes.contains(&code))
}

fn main() -> RedisResult<()> {
    let nodes: Vec<String> = std::env::args().skip(1).collect();
    if nodes.is_empty() {
        eprintln!("usage: cargo run --example order -- redis://127.0.0.1:7001 [redis://another-node ...]");
        std::process::exit(2);
    }
    tell(&nodes)
}

/// How long the demonstration waits for a cluster that is not ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// A demonstration with orders that succeed and orders that do not.
pub fn tell(nodes: &[String]) -> RedisResult<()> {
    let mut shop = connect(nodes)?;
    // The names are new in each run, so that it can be repeated on the same cluster.
    let run = now();
    let [chair, lamp] = ["CHAIR", "LAMP"].map(|name| format!("{name}-{run}"));
    let [cup, plate] = ["CUP", "PLATE"].map(|name| format!("{{shop7-{run}}}:{name}"));
    for product in [&chair, &lamp, &cup, &plate] {
        cmd("INV.SET").arg(product).arg("AVAILABLE").arg(10).exec(&mut shop)?;
        println!("10 of {product}, in {:?}", Slot::for_key(product));
    }
    let order = |number: u32, lines: &[(&String, u64)], ms: u64| Order {
        id: format!("ORDER-{number}-{run}"),
        lines: lines.iter().map(|&(product, quantity)| (product.clone(), quantity)).collect(),
        deadline: now() + ms,
    };

    let hold = |shop: &mut ClusterConnection, order: &Order| {
        again(PATIENCE, || reserve(shop, order))?;
        show(shop, order)
    };

    println!("\nA customer orders products with three tags, and pays.");
    let good = order(1, &[(&lamp, 2), (&chair, 4), (&cup, 6), (&plate, 6)], 60_000);
    hold(&mut shop, &good)?;
    sell(&mut shop, &good)?;

    println!("\nAnother wants more lamps than there are: nothing of the order stays held.");
    let greedy = order(2, &[(&chair, 1), (&lamp, 9)], 60_000);
    if let Err(refusal) = hold(&mut shop, &greedy) {
        println!("  refused: {refusal}");
    }
    show(&mut shop, &greedy)?;

    println!("\nA client dies before its customer has paid: the deadline returns the units.");
    let abandoned = order(3, &[(&lamp, 5), (&cup, 1)], 2_000);
    hold(&mut shop, &abandoned)?;
    wait_for_the_deadline(&mut shop, &abandoned)?;
    show(&mut shop, &abandoned)?;

    println!("\nA client dies between two commits: another finds the order paid and finishes it.");
    let halved = order(4, &[(&lamp, 1), (&chair, 1), (&cup, 1)], 60_000);
    hold(&mut shop, &halved)?;
    if let Some(first) = halved.groups().first() {
        cmd("INV.COMMIT").arg(&first.reservation).exec(&mut shop)?;
    }
    show(&mut shop, &halved)?;
    sell(&mut connect(nodes)?, &halved)?;

    println!("\nA payment arrives after the deadline, and the chairs have gone to another customer.");
    let slow = order(5, &[(&lamp, 1), (&chair, 5)], 2_000);
    hold(&mut shop, &slow)?;
    wait_for_the_deadline(&mut shop, &slow)?;
    let quick = order(6, &[(&chair, 5)], 60_000);
    hold(&mut shop, &quick)?;
    sell(&mut shop, &quick)?;
    sell(&mut shop, &slow)?;

    println!("\nThe shop restocks chairs instead of refunding them, and finishes the order.");
    cmd("INV.ADJUST").arg(&chair).arg(5).arg("ONCE").arg(format!("delivery-{run}")).exec(&mut shop)?;
    sell(&mut shop, &slow)
}

/// Finishes a paid order and prints it.
fn sell(shop: &mut ClusterConnection, order: &Order) -> RedisResult<()> {
    for Unsold { group, refusal } in finish(shop, order, PATIENCE)? {
        println!("  paid and not sold: {}: {refusal}", group.reservation);
    }
    show(shop, order)
}

/// Prints the groups of an order and its products, as the cluster has them.
fn show(shop: &mut ClusterConnection, order: &Order) -> RedisResult<()> {
    for group in order.groups() {
        let state = state(shop, &group)?.unwrap_or_else(|| "not held".to_owned());
        println!("  {}: {state}", group.reservation);
        for (product, quantity) in &group.lines {
            // An INV.STOCK with products of different slots would be refused (CROSSSLOT).
            let found: Vec<BTreeMap<String, Value>> = cmd("INV.STOCK").arg(product).query(shop)?;
            let stock = found.first();
            let units = |name| match stock.and_then(|stock| stock.get(name)) {
                Some(Value::Int(units)) => *units,
                _ => 0,
            };
            println!(
                "    {quantity} of {product} (now {} available, {} reserved)",
                units("available"),
                units("reserved")
            );
        }
    }
    Ok(())
}
/// `reserved`, `committed`, `rolled_back` or `expired`; `None` if the server does not know the reservation.
fn state(shop: &mut ClusterConnection, group: &Group) -> RedisResult<Option<String>> {
    let found: Option<BTreeMap<String, Value>> = cmd("INV.GET").arg(&group.reservation).query(shop)?;
    found
        .and_then(|found| found.get("state").cloned())
        .map(redis::from_redis_value)
        .transpose()
        .map_err(Into::into)
}

fn wait_for_the_deadline(shop: &mut ClusterConnection, order: &Order) -> RedisResult<()> {
    for group in order.groups() {
        while state(shop, &group)?.as_deref() == Some("reserved") {
            thread::sleep(Duration::from_millis(20));
        }
    }
    println!("  ... the deadline passes");
    Ok(())
}

/// Unix ms. The masters' clocks decide about deadlines: keep all clocks synchronised.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
