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
        let Some(name) = current_name(ctx) else { return Self::Stranger };
        // SAFETY: the name is valid.
        let user = unsafe { call!(RedisModule_GetModuleUserFromUserName(name.as_ptr())) };
        NonNull::new(user).map_or(Self::Stranger, |user| Self::User(User(user)))
    }
}

/// The name of the user who sends the current command. `None` if it comes from the server itself.
pub fn user_name(ctx: Ctx<'_>) -> Option<String> {
    let name = if has_user(ctx) { current_name(ctx) } else { None };
    name.map(|name| String::from_utf8_lossy(name.bytes()).into_owned())
}

/// The name of the current user. The context must have one.
fn current_name(ctx: Ctx<'_>) -> Option<Text> {
    // SAFETY: the context is valid and has a user. Servers before Valkey 9.1 access its name without checking that.
    NonNull::new(unsafe { call!(RedisModule_GetCurrentUserName(ctx.raw())) }).map(Text)
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

    /// Its rights, as far as they matter for a walk.
    pub fn rights(&self) -> Rights {
        // SAFETY: the user is valid.
        let rules = unsafe { call!(RedisModule_GetModuleUserACLString(self.0.as_ptr())) };
        NonNull::new(rules).map(Text).map_or(Rights::UNKNOWN, |rules| Rights::read(rules.bytes()))
    }
}

/// The rights of a user, as far as they matter for a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Whether it has selectors: additional rule sets, each with commands and keys that apply only together.
    pub has_selectors: bool,
    /// The databases to which it is restricted, on servers that know such rules. `None` if it is not restricted.
    pub databases: Option<Vec<c_int>>,
}

impl Rights {
    /// The rights of a user whose rules the server does not tell. Each question is then put to the server.
    const UNKNOWN: Self = Self { has_selectors: true, databases: None };

    /// Reads the rules of a user, as ACL LIST shows them.
    fn read(rules: &[u8]) -> Self {
        // Patterns contain no spaces, and the rules of selectors stand in parentheses after all others.
        let mut rules = rules.split(|byte| *byte == b' ').peekable();
        let mut rights = Self::default();
        while let Some(rule) = rules.next_if(|rule| !rule.starts_with(b"(")) {
            let numbers = rule.strip_prefix(b"db=").or((rule == b"resetdbs").then_some(&[]));
            if let Some(numbers) = numbers.and_then(|numbers| std::str::from_utf8(numbers).ok()) {
                let numbers = numbers.split(',').filter_map(|number| number.parse::<c_int>().ok());
                rights.databases.get_or_insert_default().extend(numbers);
            }
        }
        rights.has_selectors = rules.peek().is_some();
        rights
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
