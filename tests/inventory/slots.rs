//! The slots of names, and of nodes according to CLUSTER NODES.

use redis_inventory::inventory::cluster_slot::{OwnSlots, Slot, SlotState, tag};

#[test]
fn slots_are_those_that_servers_compute() {
    // According to CLUSTER KEYSLOT of a real server.
    for (name, slot) in
        [("123456789", 12_739), ("P", 6901), ("foo", 12_182), ("{foo}:bar", 12_182), ("x:{foo}y", 12_182)]
    {
        assert_eq!(Slot::of(name).number(), slot, "{name}");
    }
}

#[test]
fn the_first_braces_decide_if_they_are_not_empty() {
    for (name, decides) in [
        ("a", "a"),
        ("{a}b", "a"),
        ("x{a}{b}", "a"),
        ("{}b", "{}b"),
        ("{a", "{a"),
        ("}{a}", "a"),
        ("{{a}}", "{a"),
    ] {
        assert_eq!(tag(name), decides, "{name}");
    }
}

const NODES: &str = "\
07c37df 127.0.0.1:7001@17001 master - 0 1795643721719 2 connected 0-5460
8d1e6ca 127.0.0.1:7002@17002,host myself,master - 0 0 3 connected 5461 5463-5470 10923-16383 [5465->-07c37df] [77-<-07c37df]
9a1e6ca 127.0.0.1:7003@17003 slave 8d1e6ca 0 1795643722523 3 connected
";

#[test]
fn a_node_tells_how_its_slots_stand() {
    for (slot, state) in [
        (5461, SlotState::Stable),
        (5460, SlotState::Elsewhere),
        (5462, SlotState::Unassigned),
        (5463, SlotState::Stable),
        (5465, SlotState::Migrating),
        (5470, SlotState::Stable),
        (16_383, SlotState::Stable),
        (77, SlotState::Importing),
        (78, SlotState::Elsewhere),
        (5471, SlotState::Unassigned),
        (10_922, SlotState::Unassigned),
    ] {
        assert_eq!(OwnSlots::parse(NODES).state(Slot::from(slot)), Some(state), "{slot}");
    }
    assert_eq!(OwnSlots::parse("").state(Slot::from(0)), None);
    // A node without slots knows who owns them.
    let empty = "8d1e6ca 127.0.0.1:7002@17002 myself,master - 0 0 3 connected\n\
                 07c37df 127.0.0.1:7001@17001 master - 0 1795643721719 2 connected 0-5460\n";
    assert_eq!(OwnSlots::parse(empty).state(Slot::from(0)), Some(SlotState::Elsewhere));
    assert_eq!(OwnSlots::parse(empty).state(Slot::from(5461)), Some(SlotState::Unassigned));
}
