//! An order over products in different slots of a cluster, with the redis crate's cluster client:
//!
//!     make cluster
//!     scripts/cargo.sh run --example order -- redis://127.0.0.1:7001
//!
//! A reservation holds products of its own slot, and no transaction reaches over several. So an order is one reservation
//! for each tag among its products, all named after the order and all with the same deadline:
//!
//! 1. The shop writes the order down in its own database, as *placed*.
//! 2. [`reserve`] holds the units, group by group. Where one group is refused, the others are rolled back.
//! 3. The customer pays. The shop writes *paid* before it does anything else.
//! 4. [`commit`] sells the groups. Whatever fails on the way is sent again ([`finish`]): an id is sold once.
//! 5. The shop writes *sold*.
//!
//! One process at a time drives an order; the shop's database says which. What is left where that process dies:
//!
//! | it dies | what is left | who mends it |
//! | --- | --- | --- |
//! | after none, some or all of the RESERVEs, before *paid* | units that are held | the deadline |
//! | while it rolls back | some of them | the deadline |
//! | after *paid*, before, between or after the COMMITs | a paid order, sold in part | whoever finds it *paid* and calls [`finish`], before the deadline or after it |
//!
//! What this cannot do is sell all groups or none. When the order is finished after its deadline, units of one group may
//! have been sold to others meanwhile: then this group stays unsold in an order that is paid, and perhaps sold in its other
//! groups. [`commit`] names such groups ([`Unsold`]), and the shop chooses: refund those lines; or restock and commit once
//! more; or refund all, and take back what was sold with `INV.ADJUST sku n ONCE order`. The way to see this seldom is a
//! deadline well behind the time that a payment may take.
//!
//! How an order ended is remembered for `inv.outcome-ttl-ms` (a day). An order that is finished later than that answers
//! `NOTFOUND` for a group that is sold as for one that is not, so let the server remember for longer than the shop may be down.
//!
//! How the redis crate finds the node:
//!
//! - It takes the first argument of a command that it does not know for a key. So what begins with a reservation or a product
//!   is sent as it is. `INV.SCAN 0 PRODUCT p` and `INV.ALERTS PRODUCT p` go to another node first, and follow its MOVED; a
//!   route to the slot of `p` saves that.
//! - INV.SCAN and INV.ALERTS without PRODUCT, and INV.AUDITSCAN, are of one node, and unrouted they go to any one, without an
//!   error: say `route_command` with `MultipleNodeRoutingInfo::AllMasters`. The answer is a map, one entry a node; a cursor
//!   is of one node, so the next page is asked of that one (`ByAddress`). Only what names no product: redis 1.8.1 panics
//!   where a command to all masters is answered with MOVED.
//! - A read routing strategy sends no INV command to a replica by itself. With one, a route with `SlotAddr::ReplicaOptional`
//!   does it.
//! - A command is sent again when its connection breaks. What has no id of its own wants ONCE: INV.ADJUST, INV.TRANSFER, a
//!   RESERVE of `{tag}*`.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::cluster_routing::Slot;
use redis::{ConnectionLike, RedisError, RedisResult, RetryMethod, Value, cmd};

/// An order as the shop has it in its own database.
#[derive(Clone, Debug)]
pub struct Order {
    /// Used once: a second try of a refused order is another order.
    pub id: String,
    /// Products and quantities.
    pub lines: Vec<(String, u64)>,
    /// Unix ms; all groups have the same.
    pub deadline: u64,
}

/// The lines of an order that can be in one reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `{tag}:order`: in the slot of its products.
    pub reservation: String,
    /// Products and quantities.
    pub lines: Vec<(String, u64)>,
}

/// A group of a paid order that could not be sold.
#[derive(Debug)]
pub struct Unsold {
    /// Which.
    pub group: Group,
    /// Why. `INSUFFICIENT`: its deadline had passed, and others have its units. `ROLLEDBACK`: somebody gave the order up.
    /// `NOTFOUND`: how it ended is forgotten, or was lost with a master: look before you refund. `DRIFT`, `FOREIGN`: keys
    /// were written by hand.
    pub refusal: RedisError,
}

/// What decides the slot of an id: what stands in its braces, or all of it.
pub fn tag(id: &str) -> &str {
    let inside = id.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    inside.map_or(id, |(tag, _)| tag)
}

impl Order {
    /// The order in parts, by tag: `PROD-1` is in the group `{PROD-1}:order`, all of `{shop7}:CUP` and `{shop7}:PLATE` in
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

/// These say that an order cannot be whole any more. COMMITTED and MISMATCH are none of them: an order of this id is sold,
/// or is another one, and then what it holds is not ours to give back.
const IMPOSSIBLE: &[&str] = &["INSUFFICIENT", "EXPIRED", "ROLLEDBACK", "FOREIGN", "WRONGTYPE"];

/// These say that a group of a paid order cannot be sold as things are.
const UNSOLD: &[&str] = &["INSUFFICIENT", "ROLLEDBACK", "NOTFOUND", "DRIFT", "FOREIGN"];

/// Holds the units of all groups, or of none. Sent again, it answers the same.
///
/// An error that is no refusal (the network, a cluster that is down, a wrong command) leaves what is held so far: call this
/// again, or [`give_up`], or leave it to the deadline.
pub fn reserve(connection: &mut dyn ConnectionLike, order: &Order) -> RedisResult<()> {
    for group in order.groups() {
        let mut command = cmd("INV.RESERVE");
        command.arg(&group.reservation).arg("PXAT").arg(order.deadline).arg("ITEMS");
        for (product, quantity) in &group.lines {
            command.arg(product).arg(quantity);
        }
        if let Err(error) = command.query::<Value>(connection) {
            if is_one_of(&error, IMPOSSIBLE) {
                // What cannot be given back now comes back at the deadline. The refusal is what the caller wants to know.
                let _ = give_up(connection, order);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Gives all units back, for a customer who changes his mind. Never for an order that is *paid*.
pub fn give_up(connection: &mut dyn ConnectionLike, order: &Order) -> RedisResult<()> {
    let mut answer = Ok(());
    for group in order.groups() {
        match cmd("INV.ROLLBACK").arg(&group.reservation).exec(connection) {
            Err(error) if !is_one_of(&error, &["NOTFOUND"]) => answer = answer.and(Err(error)),
            // Given back, or never held.
            _ => {}
        }
    }
    answer
}

/// Sells all groups of an order that is *paid*, and names those that could not be sold. Sent again, it sells what is still
/// to be sold, and nothing twice.
///
/// An error means that a group has not answered: call this again, until it is answered ([`finish`]).
pub fn commit(connection: &mut dyn ConnectionLike, order: &Order) -> RedisResult<Vec<Unsold>> {
    let mut unsold = Vec::new();
    let mut unanswered = Ok(());
    for group in order.groups() {
        let mut answer = cmd("INV.COMMIT").arg(&group.reservation).exec(connection);
        if answer.as_ref().is_err_and(|error| is_one_of(error, &["EXPIRED"])) {
            // The deadline was faster than the payment. Units that are still free are taken again and sold in one step.
            answer = cmd("INV.COMMIT").arg(&group.reservation).arg("LATE").exec(connection);
        }
        match answer {
            Ok(()) => {}
            Err(refusal) if is_one_of(&refusal, UNSOLD) => unsold.push(Unsold { group, refusal }),
            // The other groups have a deadline as well: they do not wait for this one.
            Err(error) => unanswered = unanswered.and(Err(error)),
        }
    }
    unanswered.map(|()| unsold)
}

/// A step that is harmless to repeat, until it has an answer. What the module has refused is an answer.
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

/// [`commit`], until every group has answered. A shop does this to each order that it finds *paid*: when it starts, and from
/// time to time.
pub fn finish(
    connection: &mut dyn ConnectionLike,
    order: &Order,
    patience: Duration,
) -> RedisResult<Vec<Unsold>> {
    again(patience, || commit(connection, order))
}

/// A client of the cluster that has these nodes.
///
/// It follows MOVED and ASK, and waits and repeats a command that is answered with TRYAGAIN (a slot is on its way to another
/// node) or CLUSTERDOWN. Without these settings it waits for more than a second after the first such answer, for minutes
/// after the last, and without an end for a node that says nothing. What is left behind them is for [`again`].
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

/// How long the story waits for a cluster that is busy with itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// A little story: orders that go well, and orders that do not.
pub fn tell(nodes: &[String]) -> RedisResult<()> {
    let mut shop = connect(nodes)?;
    // Names of this run, so that the story can be told again on the same cluster.
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

    println!("\nA customer orders products of three tags, and pays.");
    let good = order(1, &[(&lamp, 2), (&chair, 4), (&cup, 6), (&plate, 6)], 60_000);
    hold(&mut shop, &good)?;
    sell(&mut shop, &good)?;

    println!("\nAnother wants more lamps than there are: nothing of the order stays held.");
    let greedy = order(2, &[(&chair, 1), (&lamp, 9)], 60_000);
    if let Err(refusal) = hold(&mut shop, &greedy) {
        println!("  refused: {refusal}");
    }
    show(&mut shop, &greedy)?;

    println!("\nA client dies before its customer has paid: the deadline gives the units back.");
    let abandoned = order(3, &[(&lamp, 5), (&cup, 1)], 2_000);
    hold(&mut shop, &abandoned)?;
    wait_for_the_deadline(&mut shop, &abandoned)?;
    show(&mut shop, &abandoned)?;

    println!("\nA client dies between two commits: another, who finds the order paid, finishes it.");
    let halved = order(4, &[(&lamp, 1), (&chair, 1), (&cup, 1)], 60_000);
    hold(&mut shop, &halved)?;
    if let Some(first) = halved.groups().first() {
        cmd("INV.COMMIT").arg(&first.reservation).exec(&mut shop)?;
    }
    show(&mut shop, &halved)?;
    sell(&mut connect(nodes)?, &halved)?;

    println!("\nA payment comes after the deadline, and the chairs have gone to another customer.");
    let slow = order(5, &[(&lamp, 1), (&chair, 5)], 2_000);
    hold(&mut shop, &slow)?;
    wait_for_the_deadline(&mut shop, &slow)?;
    let quick = order(6, &[(&chair, 5)], 60_000);
    hold(&mut shop, &quick)?;
    sell(&mut shop, &quick)?;
    sell(&mut shop, &slow)?;

    println!("\nThe shop gets more chairs instead of refunding them, and finishes the order.");
    cmd("INV.ADJUST").arg(&chair).arg(5).arg("ONCE").arg(format!("delivery-{run}")).exec(&mut shop)?;
    sell(&mut shop, &slow)
}

/// Finishes a paid order, and shows it.
fn sell(shop: &mut ClusterConnection, order: &Order) -> RedisResult<()> {
    for Unsold { group, refusal } in finish(shop, order, PATIENCE)? {
        println!("  paid and not sold: {}: {refusal}", group.reservation);
    }
    show(shop, order)
}

/// The groups of an order and its products, as the cluster has them.
fn show(shop: &mut ClusterConnection, order: &Order) -> RedisResult<()> {
    for group in order.groups() {
        let state = state(shop, &group)?.unwrap_or_else(|| "not held".to_owned());
        println!("  {}: {state}", group.reservation);
        for (product, quantity) in &group.lines {
            // Products of different slots in one INV.STOCK would be refused (CROSSSLOT).
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
/// `reserved`, `committed`, `rolled_back`, `expired`; nothing where the server does not know.
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

/// Unix ms. Deadlines are judged by the clocks of the masters: keep them and this one in step.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
