//! Users, their rights, and the ACL categories of commands.

use std::ffi::{CStr, CString, c_int};
use std::io::{Error, ErrorKind};
use std::ptr::NonNull;

use redis_module::raw;

use super::ctx::Ctx;
use super::functions::OK;
use super::text::Text;

/// The sender of the current command.
pub enum Caller {
    /// The server itself, or a module on its behalf. It may do everything.
    Server,
    /// A user of the server.
    User(User),
    /// A user that the server does not find by name, so that its rights are unknown.
    Stranger,
}

impl Caller {
    /// The sender of this context's command.
    pub fn of(ctx: Ctx<'_>) -> Self {
        if !has_user(ctx) {
            return Self::Server;
        }
        // SAFETY: the context is valid and has a user. Servers before Valkey 9.1 access its name without checking
        // that.
        let name = unsafe { call!(RedisModule_GetCurrentUserName(ctx.raw())) };
        let Some(name) = NonNull::new(name).map(Text) else { return Self::Stranger };
        // SAFETY: the name is valid.
        let user = unsafe { call!(RedisModule_GetModuleUserFromUserName(name.as_ptr())) };
        NonNull::new(user).map_or(Self::Stranger, |user| Self::User(User(user)))
    }
}

/// Whether the current command comes from a user, whose rights the server has checked. A command that a module calls
/// may have no user.
fn has_user(ctx: Ctx<'_>) -> bool {
    // An unknown command is not run and not logged. With the flag C, which means "as the current user", the server
    // looks up the command only if there is a user.
    // SAFETY: the context is valid; the format takes no arguments.
    let reply = unsafe { call!(RedisModule_Call(ctx.raw(), c"INV.NOBODY".as_ptr(), c"C".as_ptr())) };
    let reason = Error::last_os_error().kind();
    if reply.is_null() {
        return reason == ErrorKind::NotFound;
    }
    // SAFETY: the reply belongs to the module and is freed only here.
    unsafe { call!(RedisModule_FreeCallReply(reply)) };
    true
}

/// A user of the server. It is not kept beyond a callback, because its rights can change and it can be deleted.
pub struct User(NonNull<raw::RedisModuleUser>);

impl User {
    /// Whether any of its rules allows it to read the key with this name.
    pub fn may_read(&self, name: &str) -> bool {
        let name = Text::new(name.as_bytes());
        let read = raw::REDISMODULE_CMD_KEY_ACCESS.cast_signed();
        // SAFETY: user and name are valid for the call.
        unsafe { call!(RedisModule_ACLCheckKeyPermissions(self.0.as_ptr(), name.as_ptr(), read)) == OK }
    }

    /// Whether it may send this command. On Valkey 9.1, false for a user who is restricted to some databases, because
    /// the API function does not check databases.
    pub fn may_send(&self, words: &[&str]) -> bool {
        let words: Vec<Text> = words.iter().map(|word| Text::new(word.as_bytes())).collect();
        let mut pointers: Vec<_> = words.iter().map(Text::as_ptr).collect();
        let Ok(count) = c_int::try_from(pointers.len()) else { return false };
        // SAFETY: user and words are valid for the call, which only reads them.
        let status = unsafe {
            call!(RedisModule_ACLCheckCommandPermissions(self.0.as_ptr(), pointers.as_mut_ptr(), count))
        };
        status == OK
    }

    /// Whether it has selectors: additional rule sets, each with commands and keys that apply only together.
    pub fn has_selectors(&self) -> bool {
        // SAFETY: the user is valid.
        let rules = unsafe { call!(RedisModule_GetModuleUserACLString(self.0.as_ptr())) };
        // Patterns contain no spaces.
        NonNull::new(rules).map(Text).is_none_or(|rules| rules.bytes().windows(2).any(|pair| pair == b" ("))
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: the server created the user for the module, and it is freed only here.
        unsafe { call!(RedisModule_FreeModuleUser(self.0.as_ptr())) };
    }
}

impl Ctx<'_> {
    /// Adds `@category` to the server's ACL categories, if the server supports that. The category may exist already.
    pub fn add_acl_category(self, category: &CStr) -> bool {
        // SAFETY: the table of functions is written once, before this, on this thread.
        match unsafe { raw::RedisModule_AddACLCategory } {
            None => false,
            Some(add) => {
                // SAFETY: context and name are valid for the call. It fails only if the category exists already.
                let _ = unsafe { add(self.raw(), category.as_ptr()) };
                true
            }
        }
    }

    /// Replaces the ACL categories of a command. `categories` contains their names without the @, separated by
    /// spaces.
    pub fn set_acl_categories(self, command: &str, categories: &str) -> bool {
        let (Ok(command), Ok(categories)) = (CString::new(command), CString::new(categories)) else {
            return false;
        };
        // SAFETY: context and name are valid for the call.
        let command = unsafe { call!(RedisModule_GetCommand(self.raw(), command.as_ptr())) };
        if command.is_null() {
            return false;
        }
        // SAFETY: the command is one of this module; the names are valid for the call.
        let status = unsafe { call!(RedisModule_SetCommandACLCategories(command, categories.as_ptr())) };
        status == OK
    }
}
