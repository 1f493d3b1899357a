//! The commands that the module sends to replicas and AOF: all of them, in one place.
//!
//! A server finds a command by its name, so one that was renamed (`rename-command`) would not be sent, without a word. The
//! load looks for every name that is here.

use std::ffi::CStr;

macro_rules! sent {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// A command that is sent to replicas and AOF.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sent {
            $($(#[$doc])* $name,)*
        }

        impl Sent {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            pub const fn name(self) -> &'static CStr {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

sent!(
    /// The module's own: what a command of a client did.
    Apply = c"INV.APPLY",
    /// Alerts, outcomes, the mark.
    Set = c"SET",
    /// Units that a deadline or the repair gives back.
    Incrby = c"INCRBY",
    /// The same.
    Decrby = c"DECRBY",
    /// What the module ends by itself.
    Del = c"DEL",
    /// The feed.
    Xadd = c"XADD",
    /// Alerts, for the subscribers of replicas.
    Publish = c"PUBLISH",
);
