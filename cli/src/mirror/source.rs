//! What is read of a server. Everything that must be seen at one moment is read in one MULTI/EXEC.

use redis::{Cmd, RedisError, RedisResult, Value, cmd};

use super::entry::{Entry, EntryId, Stream, Units, entries};
use super::wire::{info_field, is_no_such_key, text, transactions};
use crate::server::node::Node;

/// What a server answered to several questions at once.
#[derive(Debug)]
pub struct Answers<T> {
    /// Its replication id, if it was the same before and after.
    pub replication_id: Option<String>,
    /// Whether it is a master.
    pub is_master: bool,
    /// The answers, each of one moment.
    pub each: Vec<RedisResult<T>>,
}

/// A feed and a position in it.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The key.
    pub key: &'a str,
    /// The entry at which to begin.
    pub from: EntryId,
}

/// Reads these feeds, each from its position itself, at most so many entries of each. A feed that does not exist has no stream.
pub fn read_feeds(
    node: &mut Node,
    feeds: &[Wanted<'_>],
    most: usize,
) -> RedisResult<Answers<(Option<Stream>, Vec<Entry>)>> {
    let blocks = feeds.iter().map(|feed| {
        let mut range = cmd("XRANGE");
        range.arg(feed.key).arg(feed.from.to_string()).arg("+").arg("COUNT").arg(most);
        vec![stream_of(feed.key), range]
    });
    ask(node, blocks, |mut values| {
        let found = values.next().map(stream).transpose()?.flatten();
        Ok((found, values.next().map(read_entries).transpose()?.unwrap_or_default()))
    })
}

/// Entries of a feed from this one backwards, newest first.
pub fn read_backwards(node: &mut Node, key: &str, from: EntryId, most: usize) -> RedisResult<Vec<Entry>> {
    let mut range = cmd("XREVRANGE");
    range.arg(key).arg(from.to_string()).arg("-").arg("COUNT").arg(most);
    read_entries(node.ask(&range)?)
}

fn read_entries(reply: Value) -> RedisResult<Vec<Entry>> {
    entries(without_error(reply)?).ok_or_else(|| unexpected("entries of a feed"))
}

/// Whether each of these feeds has an entry after its position.
pub fn have_more(node: &mut Node, feeds: &[Wanted<'_>]) -> RedisResult<Vec<bool>> {
    let reads: Vec<Cmd> = feeds.iter().map(|feed| read_one(feed, None)).collect();
    let replies = node.ask_all(&reads)?;
    // A feed that cannot be read is found out when it is read.
    Ok(replies.into_iter().map(|reply| !matches!(reply, Ok(Value::Nil))).collect())
}

/// Waits for an entry after this position, so many milliseconds at most. Returns whether there is one.
pub fn wait_for_more(node: &mut Node, feed: &Wanted<'_>, ms: u64) -> RedisResult<bool> {
    Ok(node.ask(&read_one(feed, Some(ms)))? != Value::Nil)
}

fn read_one(feed: &Wanted<'_>, block: Option<u64>) -> Cmd {
    let mut read = cmd("XREAD");
    read.arg("COUNT").arg(1);
    if let Some(ms) = block {
        read.arg("BLOCK").arg(ms.max(1));
    }
    read.arg("STREAMS").arg(feed.key).arg(feed.from.to_string());
    read
}

/// Counters, with the last entry of their feed at that moment.
pub type Counters = (EntryId, Vec<(Option<Units>, bool)>);

/// Reads the counters of skus, each as a pair of keys. `None` if neither exists; false if one is no integer.
pub fn read_counters(
    node: &mut Node,
    groups: &[(String, Vec<[String; 2]>)],
) -> RedisResult<Answers<Counters>> {
    let blocks = groups.iter().map(|(feed, keys)| {
        let mut get = cmd("MGET");
        get.arg(keys.concat());
        vec![stream_of(feed), get]
    });
    ask(node, blocks, |mut values| {
        let last = last_entry(values.next())?;
        let counters = values.next().map(texts).transpose()?.unwrap_or_default();
        let pairs = counters.chunks(2).map(|pair| match pair {
            [available, reserved] => units(available.as_deref(), reserved.as_deref()),
            _ => (None, false),
        });
        Ok((last, pairs.collect()))
    })
}

/// The units of a pair of counters: `None` if neither exists, false if one is no integer.
pub fn units(available: Option<&str>, reserved: Option<&str>) -> (Option<Units>, bool) {
    if available.is_none() && reserved.is_none() {
        return (None, true);
    }
    let number = |text: Option<&str>| text.map_or(Some(0), |text| text.parse::<i64>().ok());
    match (number(available), number(reserved)) {
        (Some(available), Some(reserved)) => (Some(Units { available, reserved }), true),
        _ => (None, false),
    }
}

/// The texts of keys, with the last entry of their feed at that moment, and the deadlines of some.
pub type Texts = (EntryId, Vec<Option<String>>, Vec<i64>);

/// Reads the texts of keys in groups, and the deadlines (Unix ms, negative if there is none) of `with_deadline` of them.
pub fn read_texts(node: &mut Node, groups: &[(String, Vec<String>, usize)]) -> RedisResult<Answers<Texts>> {
    let blocks = groups.iter().map(|(feed, keys, with_deadline)| {
        let mut get = cmd("MGET");
        get.arg(keys);
        let deadlines = keys.iter().take(*with_deadline).map(|key| {
            let mut deadline = cmd("PEXPIRETIME");
            deadline.arg(key);
            deadline
        });
        [stream_of(feed), get].into_iter().chain(deadlines).collect()
    });
    ask(node, blocks, |mut values| {
        let last = last_entry(values.next())?;
        let found = values.next().map(texts).transpose()?.unwrap_or_default();
        let deadlines = values.map(|value| if let Value::Int(at) = value { at } else { -1 });
        Ok((last, found, deadlines.collect()))
    })
}

/// The texts of keys. In a cluster each is asked for by itself, because they may be in several slots.
pub fn values(node: &mut Node, keys: &[String], is_cluster: bool) -> RedisResult<Vec<Option<String>>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    if !is_cluster {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(1000) {
            found.extend(texts(node.ask(cmd("MGET").arg(keys))?)?);
        }
        return Ok(found);
    }
    let gets: Vec<Cmd> = keys.iter().map(|key| cmd("GET").arg(key).take()).collect();
    node.ask_all(&gets)?.into_iter().map(|reply| reply.map(text)).collect()
}

/// A page of the server's SCAN: the next cursor, and the names that can be names of the module.
pub fn scan(node: &mut Node, cursor: &str, pattern: &str) -> RedisResult<(String, Vec<String>)> {
    let reply = node.ask(cmd("SCAN").arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000))?;
    cursor_and_names(reply)
}

/// A page of INV.SCAN: the next cursor, and the ids.
pub fn scan_reservations(node: &mut Node, cursor: &str) -> RedisResult<(String, Vec<String>)> {
    cursor_and_names(node.ask(cmd("INV.SCAN").arg(cursor).arg("COUNT").arg(1000))?)
}

fn cursor_and_names(reply: Value) -> RedisResult<(String, Vec<String>)> {
    let Value::Array(parts) = reply else { return Err(unexpected("a page of a walk")) };
    let mut parts = parts.into_iter();
    let (Some(cursor), Some(Value::Array(names))) = (parts.next().and_then(text), parts.next()) else {
        return Err(unexpected("a page of a walk"));
    };
    let names = names.into_iter().filter_map(|name| match name {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        name => text(name),
    });
    Ok((cursor, names.collect()))
}

/// The priority of a warehouse with this score, as the tables have it.
pub fn priority(score: &str) -> Option<String> {
    let score: f64 = score.parse().ok()?;
    Some(if score.is_infinite() && score > 0.0 { "closed".to_owned() } else { score.to_string() })
}

/// The replication id of a server.
pub fn replication_id(node: &mut Node) -> RedisResult<String> {
    let info = node.ask(cmd("INFO").arg("replication"))?;
    let info = text(info).unwrap_or_default();
    info_field(&info, "master_replid").map(str::to_owned).ok_or_else(|| unexpected("INFO replication"))
}

fn stream_of(key: &str) -> Cmd {
    let mut info = cmd("XINFO");
    info.arg("STREAM").arg(key);
    info
}

fn stream(reply: Value) -> RedisResult<Option<Stream>> {
    if is_no_such_key(&reply) {
        return Ok(None);
    }
    Stream::read(without_error(reply)?).map(Some).ok_or_else(|| unexpected("XINFO STREAM"))
}

fn last_entry(reply: Option<Value>) -> RedisResult<EntryId> {
    Ok(reply.map(stream).transpose()?.flatten().map_or(EntryId::ZERO, |stream| stream.last))
}

fn texts(reply: Value) -> RedisResult<Vec<Option<String>>> {
    match without_error(reply)? {
        Value::Array(values) => Ok(values.into_iter().map(text).collect()),
        _ => Err(unexpected("MGET")),
    }
}

fn without_error(reply: Value) -> RedisResult<Value> {
    match reply {
        Value::ServerError(error) => Err(error.into()),
        reply => Ok(reply),
    }
}

fn unexpected(what: &str) -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "the server's answer cannot be read", what.to_owned()).into()
}

/// Asks for blocks, between two looks at the replication id. A replication id never comes back, so if it is the same before and
/// after, it was the same all the time.
fn ask<T>(
    node: &mut Node,
    blocks: impl Iterator<Item = Vec<Cmd>>,
    read: impl Fn(std::vec::IntoIter<Value>) -> RedisResult<T>,
) -> RedisResult<Answers<T>> {
    let info = || vec![cmd("INFO").arg("replication").take()];
    let blocks: Vec<Vec<Cmd>> = std::iter::once(info()).chain(blocks).chain([info()]).collect();
    let mut answers = transactions(node, &blocks)?;
    let text_of = |answer: Option<RedisResult<Vec<Value>>>| -> RedisResult<String> {
        let values = answer.ok_or_else(|| unexpected("INFO replication"))??;
        values.into_iter().next().and_then(text).ok_or_else(|| unexpected("INFO replication"))
    };
    let after = text_of(answers.pop())?;
    let before = text_of(Some(answers.remove(0)))?;
    let id = |info: &str| info_field(info, "master_replid").map(str::to_owned);
    Ok(Answers {
        replication_id: id(&before).filter(|before| id(&after).as_ref() == Some(before)),
        is_master: [&before, &after].iter().all(|info| info_field(info, "role") == Some("master")),
        each: answers.into_iter().map(|answer| answer.and_then(|values| read(values.into_iter()))).collect(),
    })
}
