//! The functions of the module API that the module calls, and their status codes.

use std::ffi::c_int;

use redis_module::raw;

/// The status of a function that succeeded.
#[expect(clippy::cast_possible_truncation, reason = "it is 0")]
pub const OK: c_int = raw::REDISMODULE_OK as c_int;

/// The status of a function that failed.
#[expect(clippy::cast_possible_truncation, reason = "it is 1")]
pub const ERR: c_int = raw::REDISMODULE_ERR as c_int;

macro_rules! required {
    ($($name:ident),* $(,)?) => {
        /// The first function that the module calls and the server lacks; `None` if it lacks none.
        pub fn missing_function() -> Option<&'static str> {
            $(
                // SAFETY: the table of functions is written once, before this, on this thread.
                if unsafe { raw::$name }.is_none() {
                    return Some(stringify!($name));
                }
            )*
            None
        }
    };
}

required!(
    RedisModule_ACLCheckCommandPermissions,
    RedisModule_ACLCheckKeyPermissions,
    RedisModule_AddPostNotificationJob,
    RedisModule_AvoidReplicaTraffic,
    RedisModule_CachedMicroseconds,
    RedisModule_Call,
    RedisModule_CallReplyType,
    RedisModule_CloseKey,
    RedisModule_CreateString,
    RedisModule_CreateStringFromLongLong,
    RedisModule_DbSize,
    RedisModule_DeleteKey,
    RedisModule_EventLoopAddOneShot,
    RedisModule_Free,
    RedisModule_FreeCallReply,
    RedisModule_FreeModuleUser,
    RedisModule_FreeServerInfo,
    RedisModule_FreeString,
    RedisModule_GetAbsExpire,
    RedisModule_GetClusterNodeInfo,
    RedisModule_GetCommandKeysWithFlags,
    RedisModule_GetContextFlags,
    RedisModule_GetCurrentUserName,
    RedisModule_GetKeyNameFromModuleKey,
    RedisModule_GetModuleUserACLString,
    RedisModule_GetModuleUserFromUserName,
    RedisModule_GetMyClusterID,
    RedisModule_GetNotifyKeyspaceEvents,
    RedisModule_GetSelectedDb,
    RedisModule_GetServerInfo,
    RedisModule_InfoAddFieldCString,
    RedisModule_InfoAddFieldLongLong,
    RedisModule_InfoAddSection,
    RedisModule_InfoBeginDictField,
    RedisModule_InfoEndDictField,
    RedisModule_IsKeysPositionRequest,
    RedisModule_KeyAtPos,
    RedisModule_KeyType,
    RedisModule_LoadConfigs,
    RedisModule_Log,
    RedisModule_NotifyKeyspaceEvent,
    RedisModule_OpenKey,
    RedisModule_PublishMessage,
    RedisModule_RegisterEnumConfig,
    RedisModule_RegisterNumericConfig,
    RedisModule_Replicate,
    RedisModule_ReplicateVerbatim,
    RedisModule_RetainString,
    RedisModule_Scan,
    RedisModule_ScanCursorCreate,
    RedisModule_ScanCursorDestroy,
    RedisModule_SelectDb,
    RedisModule_ServerInfoGetFieldC,
    RedisModule_SetAbsExpire,
    RedisModule_SetCommandACLCategories,
    RedisModule_SetModuleOptions,
    RedisModule_SignalModifiedKey,
    RedisModule_StreamAdd,
    RedisModule_StreamTrimByLength,
    RedisModule_StringDMA,
    RedisModule_StringPtrLen,
    RedisModule_StringSet,
    RedisModule_StringTruncate,
    RedisModule_SubscribeToKeyspaceEvents,
    RedisModule_SubscribeToServerEvent,
    RedisModule_ValueLength,
    RedisModule_ZsetAdd,
    RedisModule_ZsetFirstInScoreRange,
    RedisModule_ZsetRangeCurrentElement,
    RedisModule_ZsetRangeEndReached,
    RedisModule_ZsetRangeNext,
    RedisModule_ZsetRangeStop,
    RedisModule_ZsetRem,
    RedisModule_ZsetScore,
);
