//! All masters: one server, or those of a cluster, which are found from any of its nodes.

use redis::{Value, cmd, from_redis_value};

use crate::failure::Failure;
use crate::server::address::Address;
use crate::server::node::Node;
use crate::server::style::Style;
use crate::server::{reason, slot};

/// All masters of a cluster, or a server without cluster mode.
pub struct Masters {
    seed: Address,
    nodes: Vec<Node>,
    /// For each slot, the place of its master in `nodes`; `None` without cluster mode.
    slots: Option<Vec<Option<usize>>>,
}

impl Masters {
    /// Connects to a server, and if it belongs to a cluster, to all of its masters.
    pub fn connect(seed: Address) -> Result<Self, Failure> {
        let mut first = Node::connect(seed.clone())?;
        let Some(ranges) = ranges(&mut first)? else {
            return Ok(Self { seed, nodes: vec![first], slots: None });
        };
        let mut masters = Self { seed, nodes: Vec::new(), slots: None };
        masters.settle(ranges)?;
        Ok(masters)
    }

    /// Whether they belong to a cluster.
    pub const fn is_cluster(&self) -> bool {
        self.slots.is_some()
    }

    /// The masters, in the order of their slots.
    pub fn nodes(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// How they spell keys and skus.
    pub fn style(&mut self) -> Style {
        match (self.is_cluster(), self.nodes.first_mut()) {
            (false, Some(node)) => Style::of(node),
            _ => Style::Tagged,
        }
    }

    /// How they are named in texts: the server of the URL, and the number of masters of a cluster.
    pub fn name(&self) -> String {
        match &self.slots {
            Some(_) => format!("{} (cluster of {} masters)", self.seed.name(), self.nodes.len()),
            None => self.seed.name(),
        }
    }

    /// The place in [`Masters::nodes`] of the master that serves this id.
    pub fn place_of(&self, id: &str) -> Result<usize, Failure> {
        let Some(slots) = &self.slots else { return Ok(0) };
        let number = slot::of(id);
        slots.get(number).copied().flatten().ok_or_else(|| {
            Failure::connection(format!(
                "no master serves slot {number}, which '{id}' belongs to. Run the command again once CLUSTER INFO says \
                 cluster_state:ok"
            ))
        })
    }

    /// Finds the masters again, after a failover or after slots have moved. Connections that can still be used are kept. Asks the
    /// known masters, and the server of the URL if none answers.
    pub fn find_again(&mut self) -> Result<(), Failure> {
        if self.slots.is_none() {
            let node = Node::connect(self.seed.clone())?;
            self.nodes = vec![node];
            return Ok(());
        }
        let answered = self.nodes.iter_mut().find_map(|node| ranges(node).ok().flatten());
        let ranges = match answered {
            Some(ranges) => ranges,
            None => ranges(&mut Node::connect(self.seed.clone())?)?.unwrap_or_default(),
        };
        self.settle(ranges)
    }

    /// Connects to the masters of these slots. If one cannot be reached, nobody serves its slots, and the others can be used.
    fn settle(&mut self, ranges: Vec<Range>) -> Result<(), Failure> {
        let mut old = std::mem::take(&mut self.nodes);
        old.retain(Node::is_open);
        let mut slots = vec![None; slot::COUNT];
        let mut trouble = None;
        for Range { first, last, host, port } in ranges {
            let host = match host.as_str() {
                // The node does not know its own name: it is where it was found.
                "" | "?" => self.seed.host().unwrap_or("127.0.0.1"),
                host => host,
            };
            let address = self.seed.at(host, port);
            let name = address.name();
            let known = self.nodes.iter().position(|node| node.name() == name);
            let place = match (known, old.iter().position(|node| node.name() == name)) {
                (Some(place), _) => place,
                (None, kept) => {
                    let node = match kept {
                        Some(kept) => Ok(old.swap_remove(kept)),
                        None => Node::connect(address),
                    };
                    match node {
                        Ok(node) => self.nodes.push(node),
                        Err(failure) => {
                            trouble = Some(failure);
                            continue;
                        }
                    }
                    self.nodes.len() - 1
                }
            };
            for slot in slots.iter_mut().take(usize::from(last) + 1).skip(usize::from(first)) {
                *slot = Some(place);
            }
        }
        self.slots = Some(slots);
        trouble.map_or(Ok(()), Err)
    }
}

/// Slots that one master serves, bounds included.
struct Range {
    first: u16,
    last: u16,
    host: String,
    port: u16,
}

/// The slots of the cluster by master, in order; `None` if the server does not belong to one, or the user may not know.
fn ranges(node: &mut Node) -> Result<Option<Vec<Range>>, Failure> {
    let name = node.name();
    let answer = match node.ask(cmd("CLUSTER").arg("SLOTS")) {
        Ok(answer) => answer,
        Err(error) if error.code() == Some("NOPERM") => return Ok(None),
        Err(error) if reason::text(&error).contains("cluster support disabled") => return Ok(None),
        Err(error) => return Err(reason::failure(&name, &error)),
    };
    let rows: Vec<Vec<Value>> = from_redis_value(answer).unwrap_or_default();
    let mut ranges: Vec<Range> = rows.into_iter().filter_map(range).collect();
    ranges.sort_by_key(|range| range.first);
    if ranges.is_empty() {
        return Err(Failure::connection(format!(
            "{name} belongs to a cluster without slots. Assign them with redis-cli --cluster create"
        )));
    }
    Ok(Some(ranges))
}

/// Reads `[first, last, [host, port, ...], [replica], ...]`.
fn range(row: Vec<Value>) -> Option<Range> {
    let mut row = row.into_iter();
    let first = from_redis_value(row.next()?).ok()?;
    let last = from_redis_value(row.next()?).ok()?;
    let master: Vec<Value> = from_redis_value(row.next()?).ok()?;
    let mut master = master.into_iter();
    let host: Option<String> = from_redis_value(master.next()?).ok()?;
    let port = from_redis_value(master.next()?).ok()?;
    Some(Range { first, last, host: host.unwrap_or_default(), port })
}
