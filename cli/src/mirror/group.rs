//! Shows on the server how far the mirror is: as a consumer group of the feed. XINFO GROUPS and the exporter then tell its lag. The
//! position that counts is the one in the tables.

use std::time::{Duration, Instant};

use redis::{RedisResult, cmd};

use super::feed::Feed;
use super::report::Report;
use super::session::Session;
use crate::failure::Failure;
use crate::server::node::Node;

/// The name of the group.
pub const GROUP: &str = "inv-mirror";

/// How often the group is moved.
const EVERY: Duration = Duration::from_secs(1);

/// With more feeds, their groups would cost the servers more than they tell.
const MOST_FEEDS: usize = 1000;

impl Session<'_> {
    /// Moves the groups of the feeds that have been read.
    pub(super) fn show_lag(&mut self, report: &mut Report, at_once: bool) -> Result<(), Failure> {
        if self.cannot_show || (!at_once && self.shown.elapsed() < EVERY) {
            return Ok(());
        }
        self.shown = Instant::now();
        // The group does not come to entries that may be needed again.
        self.settle(report)?;
        let feeds = std::mem::take(&mut self.to_show);
        if self.feeds.len() > MOST_FEEDS {
            return Ok(());
        }
        for at in feeds {
            let Some(feed) = self.feeds.get(at) else { continue };
            let Some(node) = self.masters.nodes().get_mut(feed.place) else { continue };
            match show(node, feed) {
                Err(error) if error.code() == Some("NOPERM") => {
                    self.cannot_show = true;
                    let text = format!(
                        "{}: {error}. The lag is not shown on the server; docs/mirror.md lists the rights",
                        node.name()
                    );
                    report.tell("no_group", &text, serde_json::json!({}))?;
                    break;
                }
                // It is only shown. Reading the feed finds out what is wrong.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn show(node: &mut Node, feed: &Feed) -> RedisResult<()> {
    let of = |action: &str| {
        let mut group = cmd("XGROUP");
        group.arg(action).arg(&feed.key).arg(GROUP).arg(feed.written.entry.to_string());
        if let Some(read) = feed.read {
            group.arg("ENTRIESREAD").arg(read);
        }
        group
    };
    match node.ask(&of("SETID")) {
        Err(error) if error.code() == Some("NOGROUP") => node.ask(&of("CREATE")).map(|_| ()),
        answer => answer.map(|_| ()),
    }
}
