//! The scripts that shops run today, as files of their own: docs/migrating-from-lua.md is about them.

/// Holds the units.
pub const LUA_RESERVE: &str = include_str!("../lua/reserve.lua");

/// Sells them.
pub const LUA_COMMIT: &str = include_str!("../lua/commit.lua");

/// Gives them back.
pub const LUA_ROLLBACK: &str = include_str!("../lua/rollback.lua");
