//! Rows of the commands about the server.

use super::row::{Row, alone, bytes, fails, fails_alone, names, shape, unordered};

pub(super) const ROWS: &[Row] = &[
    unordered("acl|cat", "ACL CAT; ACL CAT read; ACL CAT nosuch; ACL NOSUCH; ACL"),
    bytes("acl|deluser", "ACL SETUSER guest; ACL DELUSER guest nosuch; ACL DELUSER default"),
    bytes(
        "acl|dryrun",
        "ACL DRYRUN default GET str; ACL SETUSER guest +get ~a*; ACL DRYRUN guest GET a; ACL DRYRUN guest GET b; \
         ACL DRYRUN guest SET a b; ACL DRYRUN nosuch GET a; ACL DRYRUN default NOSUCH; ACL DELUSER guest",
    ),
    shape("acl|genpass", "ACL GENPASS; ACL GENPASS 5; ACL GENPASS 0; ACL GENPASS x"),
    bytes("acl|getuser", "ACL GETUSER default; ACL GETUSER nosuch"),
    bytes("acl|help", "ACL HELP"),
    bytes("acl|list", "ACL LIST"),
    bytes("acl|load", "ACL LOAD"),
    Row { alone: true, ..shape("acl|log", "ACL LOG RESET; ACL LOG; ACL LOG 5; ACL LOG x") },
    bytes("acl|save", "ACL SAVE"),
    bytes(
        "acl|setuser",
        "ACL SETUSER guest on >pw ~* +@all; ACL GETUSER guest; ACL SETUSER guest NOSUCH; ACL SETUSER \"a b\"; ACL DELUSER guest",
    ),
    bytes("acl|users", "ACL USERS"),
    bytes("acl|whoami", "ACL WHOAMI"),
    fails("bgrewriteaof", "BGREWRITEAOF x", "it forks: whether another one still runs is a matter of timing"),
    fails("bgsave", "BGSAVE x; BGSAVE SCHEDULE x", "it forks: whether another one still runs is a matter of timing"),
    bytes("cluster|addslots", "CLUSTER ADDSLOTS 1; CLUSTER NOSUCH; CLUSTER"),
    bytes("cluster|addslotsrange", "CLUSTER ADDSLOTSRANGE 1 2"),
    bytes("cluster|bumpepoch", "CLUSTER BUMPEPOCH"),
    bytes("cluster|count-failure-reports", "CLUSTER COUNT-FAILURE-REPORTS x"),
    bytes("cluster|countkeysinslot", "CLUSTER COUNTKEYSINSLOT 1"),
    bytes("cluster|delslots", "CLUSTER DELSLOTS 1"),
    bytes("cluster|delslotsrange", "CLUSTER DELSLOTSRANGE 1 2"),
    bytes("cluster|failover", "CLUSTER FAILOVER"),
    bytes("cluster|flushslots", "CLUSTER FLUSHSLOTS"),
    bytes("cluster|forget", "CLUSTER FORGET x"),
    bytes("cluster|getkeysinslot", "CLUSTER GETKEYSINSLOT 1 1"),
    bytes("cluster|help", "CLUSTER HELP"),
    bytes("cluster|info", "CLUSTER INFO"),
    bytes("cluster|keyslot", "CLUSTER KEYSLOT x"),
    bytes("cluster|links", "CLUSTER LINKS"),
    bytes("cluster|meet", "CLUSTER MEET 127.0.0.1 1"),
    bytes("cluster|myid", "CLUSTER MYID"),
    bytes("cluster|nodes", "CLUSTER NODES"),
    bytes("cluster|replicas", "CLUSTER REPLICAS x"),
    bytes("cluster|replicate", "CLUSTER REPLICATE x"),
    bytes("cluster|reset", "CLUSTER RESET"),
    bytes("cluster|saveconfig", "CLUSTER SAVECONFIG"),
    bytes("cluster|set-config-epoch", "CLUSTER SET-CONFIG-EPOCH 1"),
    bytes("cluster|setslot", "CLUSTER SETSLOT 1 STABLE"),
    bytes("cluster|shards", "CLUSTER SHARDS"),
    bytes("cluster|slaves", "CLUSTER SLAVES x"),
    bytes("cluster|slots", "CLUSTER SLOTS"),
    unordered("command", "COMMAND; COMMAND NOSUCH"),
    bytes("command|count", "COMMAND COUNT"),
    unordered("command|docs", "COMMAND DOCS; COMMAND DOCS get client|id nosuch"),
    bytes(
        "command|getkeys",
        "COMMAND GETKEYS GET a; COMMAND GETKEYS MSET a 1 b 2; COMMAND GETKEYS EVAL x 2 a b; COMMAND GETKEYS PING; \
         COMMAND GETKEYS NOSUCH; COMMAND GETKEYS GET",
    ),
    bytes(
        "command|getkeysandflags",
        "COMMAND GETKEYSANDFLAGS LMOVE a b LEFT LEFT; COMMAND GETKEYSANDFLAGS PING; COMMAND GETKEYSANDFLAGS NOSUCH",
    ),
    bytes("command|help", "COMMAND HELP"),
    bytes("command|info", "COMMAND INFO get nosuch client|id; COMMAND INFO blpop"),
    unordered(
        "command|list",
        "COMMAND LIST; COMMAND LIST FILTERBY PATTERN x*; COMMAND LIST FILTERBY ACLCAT scripting; COMMAND LIST FILTERBY MODULE x; \
         COMMAND LIST FILTERBY NOSUCH x",
    ),
    unordered("config|get", "CONFIG GET maxmemory; CONFIG GET maxmemory hz nosuch; CONFIG GET nosuch; CONFIG NOSUCH; CONFIG"),
    bytes("config|help", "CONFIG HELP"),
    bytes("config|resetstat", "CONFIG RESETSTAT"),
    bytes("config|rewrite", "CONFIG REWRITE"),
    bytes(
        "config|set",
        "CONFIG SET hz 20; CONFIG GET hz; CONFIG SET hz 10; CONFIG SET hz x; CONFIG SET nosuch 1; CONFIG SET hz 10 hz 11; \
         CONFIG SET hz 10 port",
    ),
    bytes("dbsize", "DBSIZE; FLUSHALL; DBSIZE"),
    bytes(
        "debug",
        "DEBUG SLEEP 0; DEBUG NOSUCH; DEBUG DIGEST-VALUE str list; DEBUG ERROR \"ERR mine\"; DEBUG SET-ACTIVE-EXPIRE 1; \
         DEBUG PROTOCOL string; DEBUG PROTOCOL integer; DEBUG PROTOCOL double; DEBUG PROTOCOL bignum; DEBUG PROTOCOL null; \
         DEBUG PROTOCOL array; DEBUG PROTOCOL set; DEBUG PROTOCOL map; DEBUG PROTOCOL attrib; \
         DEBUG PROTOCOL verbatim; DEBUG PROTOCOL true; DEBUG PROTOCOL false; DEBUG PROTOCOL nosuch; DEBUG STRINGMATCH-LEN 10 *; \
         DEBUG OBJECT none",
    ),
    alone("debug", "DEBUG PROTOCOL push"),
    shape("debug", "DEBUG OBJECT str; DEBUG SDSLEN str; DEBUG LISTPACK hash; DEBUG HELP"),
    bytes("failover", "FAILOVER; FAILOVER ABORT; FAILOVER NOSUCH; FAILOVER TO 127.0.0.1 x"),
    bytes("flushall", "FLUSHALL; DBSIZE; SET k v; FLUSHALL ASYNC; FLUSHALL SYNC; FLUSHALL NOSUCH; FLUSHALL SYNC x; DBSIZE"),
    bytes("flushdb", "SELECT 1; SET k v; FLUSHDB; DBSIZE; SELECT 0; FLUSHDB ASYNC; DBSIZE; FLUSHDB SYNC; FLUSHDB NOSUCH"),
    shape("info", "INFO; INFO server; INFO nosuch; INFO commandstats latencystats; INFO everything; INFO all default"),
    shape("lastsave", "LASTSAVE"),
    bytes("latency|doctor", "LATENCY DOCTOR; LATENCY NOSUCH; LATENCY"),
    bytes("latency|graph", "LATENCY GRAPH command"),
    bytes("latency|help", "LATENCY HELP"),
    shape("latency|histogram", "CONFIG RESETSTAT; GET str; LATENCY HISTOGRAM get; LATENCY HISTOGRAM nosuch"),
    bytes("latency|history", "LATENCY HISTORY command"),
    bytes("latency|latest", "LATENCY LATEST"),
    bytes("latency|reset", "LATENCY RESET; LATENCY RESET command"),
    shape("lolwut", "LOLWUT; LOLWUT VERSION 5; LOLWUT VERSION x; LOLWUT 1"),
    shape("memory|doctor", "MEMORY DOCTOR; MEMORY NOSUCH; MEMORY"),
    bytes("memory|help", "MEMORY HELP"),
    shape("memory|malloc-stats", "MEMORY MALLOC-STATS"),
    bytes("memory|purge", "MEMORY PURGE"),
    shape("memory|stats", "MEMORY STATS"),
    shape(
        "memory|usage",
        "MEMORY USAGE str; MEMORY USAGE list SAMPLES 5; MEMORY USAGE none; MEMORY USAGE list SAMPLES x; MEMORY USAGE list NOSUCH",
    ),
    bytes("module|help", "MODULE HELP; MODULE NOSUCH; MODULE"),
    bytes("module|list", "MODULE LIST"),
    bytes("module|load", "MODULE LOAD /nosuch"),
    bytes("module|loadex", "MODULE LOADEX /nosuch; MODULE LOADEX /nosuch NOSUCH"),
    bytes("module|unload", "MODULE UNLOAD nosuch"),
    shape("monitor", "MONITOR"),
    Row { alone: true, ..shape("monitor", "MONITOR; GET str; MONITOR") },
    fails("pfselftest", "PFSELFTEST x", "it takes the server half a second"),
    fails_alone("psync", "PSYNC; PSYNC ?", "it makes the connection a replica's"),
    bytes("replconf", "REPLCONF; REPLCONF NOSUCH x; REPLCONF x"),
    bytes("replicaof", "REPLICAOF NO ONE; REPLICAOF 127.0.0.1 x; REPLICAOF 127.0.0.1 99999"),
    bytes("role", "ROLE"),
    bytes("save", "SAVE"),
    fails_alone("shutdown", "SHUTDOWN NOSUCH; SHUTDOWN ABORT; SHUTDOWN SAVE NOSAVE", "it ends the server"),
    bytes("slaveof", "SLAVEOF NO ONE; SLAVEOF 127.0.0.1 x"),
    shape("slowlog|get", "SLOWLOG RESET; SLOWLOG GET; SLOWLOG GET 5; SLOWLOG GET -2; SLOWLOG GET x; SLOWLOG NOSUCH; SLOWLOG"),
    bytes("slowlog|help", "SLOWLOG HELP"),
    shape("slowlog|len", "SLOWLOG LEN"),
    bytes("slowlog|reset", "SLOWLOG RESET"),
    bytes("swapdb", "SWAPDB 0 1; DBSIZE; SWAPDB 0 1; DBSIZE; SWAPDB 0 x; SWAPDB x 0; SWAPDB 0 99; SWAPDB 0 0"),
    fails_alone("sync", "SYNC x", "it makes the connection a replica's"),
    shape("time", "TIME"),
    bytes("wait", "WAIT 0 0; WAIT 1 10; WAIT x 0; WAIT 0 x; WAIT 1 -1"),
    bytes("waitaof", "WAITAOF 0 0 0; WAITAOF x 0 0"),
    // About connections.
    bytes("asking", "ASKING"),
    bytes("auth", "AUTH pw; AUTH default pw; AUTH nosuch pw; AUTH default \"\""),
    alone(
        "client|caching",
        "CLIENT CACHING YES; CLIENT CACHING NO; CLIENT CACHING x; CLIENT TRACKING ON OPTIN; CLIENT CACHING YES; GET str; \
         CLIENT CACHING NO; CLIENT TRACKING OFF; CLIENT NOSUCH; CLIENT",
    ),
    bytes("client|getname", "CLIENT GETNAME; CLIENT SETNAME me; CLIENT GETNAME"),
    bytes("client|getredir", "CLIENT GETREDIR"),
    bytes("client|help", "CLIENT HELP"),
    shape("client|id", "CLIENT ID"),
    names("client|info", "CLIENT INFO"),
    bytes(
        "client|kill",
        "CLIENT KILL 127.0.0.1:1; CLIENT KILL ID 999999; CLIENT KILL ID x; CLIENT KILL TYPE nosuch; CLIENT KILL ADDR 127.0.0.1:1; \
         CLIENT KILL LADDR 127.0.0.1:1; CLIENT KILL USER nosuch; CLIENT KILL SKIPME x; CLIENT KILL NOSUCH x; CLIENT KILL ID 0; \
         CLIENT KILL TYPE pubsub; CLIENT KILL TYPE replica; CLIENT KILL x y z",
    ),
    names(
        "client|list",
        "CLIENT LIST ID 999999; CLIENT LIST TYPE pubsub; CLIENT LIST TYPE nosuch; CLIENT LIST ID x; CLIENT LIST ID; CLIENT LIST NOSUCH",
    ),
    bytes("client|no-evict", "CLIENT NO-EVICT ON; CLIENT NO-EVICT OFF; CLIENT NO-EVICT x"),
    bytes("client|no-touch", "CLIENT NO-TOUCH ON; CLIENT NO-TOUCH OFF; CLIENT NO-TOUCH x"),
    bytes(
        "client|pause",
        "CLIENT PAUSE 1; CLIENT PAUSE 0; CLIENT PAUSE 1 WRITE; CLIENT PAUSE 1 ALL; CLIENT PAUSE x; CLIENT PAUSE -1; \
         CLIENT PAUSE 1 NOSUCH; CLIENT UNPAUSE",
    ),
    bytes("client|reply", "CLIENT REPLY ON; CLIENT REPLY NOSUCH"),
    alone("client|reply", "CLIENT REPLY OFF; GET str; CLIENT REPLY ON; GET str"),
    bytes("client|setinfo", "CLIENT SETINFO LIB-NAME x; CLIENT SETINFO LIB-VER 1; CLIENT SETINFO NOSUCH x; CLIENT SETINFO"),
    bytes("client|setname", "CLIENT SETNAME me; CLIENT SETNAME \"a b\"; CLIENT SETNAME \"\"; CLIENT GETNAME"),
    alone(
        "client|tracking",
        "CLIENT TRACKING ON BCAST PREFIX a; CLIENT TRACKINGINFO; CLIENT TRACKING ON BCAST PREFIX ab; CLIENT TRACKING OFF; \
         CLIENT TRACKING ON NOLOOP; GET str; SET str v; CLIENT TRACKING ON OPTIN; CLIENT TRACKING OFF; CLIENT TRACKING x; \
         CLIENT TRACKING ON REDIRECT 999999; CLIENT TRACKING ON REDIRECT x; CLIENT TRACKING ON PREFIX a; \
         CLIENT TRACKING ON OPTIN OPTOUT; CLIENT TRACKING ON NOSUCH",
    ),
    bytes("client|trackinginfo", "CLIENT TRACKINGINFO"),
    bytes("client|unblock", "CLIENT UNBLOCK 999999; CLIENT UNBLOCK x; CLIENT UNBLOCK 999999 NOSUCH; CLIENT UNBLOCK 999999 ERROR"),
    bytes("client|unpause", "CLIENT UNPAUSE"),
    bytes("discard", "DISCARD; MULTI; DISCARD; DISCARD"),
    bytes("echo", "ECHO x; ECHO \"\""),
    bytes("exec", "EXEC; MULTI; EXEC; EXEC; MULTI; SET str v; LPUSH str v; EXEC; GET str"),
    bytes("hello", "HELLO; HELLO 2; HELLO 3; HELLO 4; HELLO 2 SETNAME me; HELLO 3 AUTH nosuch pw; HELLO 3 NOSUCH; HELLO 3 SETNAME \"a b\""),
    bytes("multi", "MULTI; GET str; MULTI; EXEC; MULTI; NOSUCH; EXEC; MULTI; GET; EXEC; MULTI; SET; DISCARD"),
    bytes("ping", "PING; PING x; PING \"\""),
    alone("quit", "QUIT; GET str"),
    bytes("readonly", "READONLY"),
    bytes("readwrite", "READWRITE"),
    alone("reset", "RESET; MULTI; GET str; RESET; EXEC; SELECT 1; RESET; GET str"),
    bytes("select", "SELECT 1; SELECT 0; SELECT 99; SELECT -1; SELECT x; GET str"),
    bytes("unwatch", "UNWATCH; WATCH str; UNWATCH"),
    bytes("watch", "WATCH str none; SET str v; MULTI; GET str; EXEC; WATCH str; MULTI; WATCH str; EXEC"),
    // Publish, subscribe.
    alone("psubscribe", "PSUBSCRIBE a* b*; PSUBSCRIBE a*; PUNSUBSCRIBE b* a*"),
    bytes("publish", "PUBLISH a x; PUBLISH \"\" \"\""),
    bytes("pubsub|channels", "PUBSUB CHANNELS; PUBSUB CHANNELS a*; PUBSUB NOSUCH; PUBSUB"),
    bytes("pubsub|help", "PUBSUB HELP"),
    bytes("pubsub|numpat", "PUBSUB NUMPAT"),
    bytes("pubsub|numsub", "PUBSUB NUMSUB; PUBSUB NUMSUB a b"),
    bytes("pubsub|shardchannels", "PUBSUB SHARDCHANNELS; PUBSUB SHARDCHANNELS a*"),
    bytes("pubsub|shardnumsub", "PUBSUB SHARDNUMSUB; PUBSUB SHARDNUMSUB a"),
    alone("punsubscribe", "PUNSUBSCRIBE; PUNSUBSCRIBE a b; PSUBSCRIBE a; PSUBSCRIBE b; PUNSUBSCRIBE b; GET str; PUNSUBSCRIBE"),
    bytes("spublish", "SPUBLISH a x"),
    alone("ssubscribe", "SSUBSCRIBE a b; SSUBSCRIBE a; SUNSUBSCRIBE b a"),
    alone(
        "subscribe",
        "SUBSCRIBE a b a; GET str; PING; PING x; SUBSCRIBE a; PSUBSCRIBE c*; UNSUBSCRIBE a; UNSUBSCRIBE; PUNSUBSCRIBE; GET str",
    ),
    alone("sunsubscribe", "SUNSUBSCRIBE; SUNSUBSCRIBE a; SSUBSCRIBE a; SUNSUBSCRIBE a"),
    alone("unsubscribe", "UNSUBSCRIBE; UNSUBSCRIBE a b; SUBSCRIBE a; UNSUBSCRIBE nosuch; UNSUBSCRIBE a; GET str"),
    // Scripts, functions.
    bytes(
        "eval",
        "EVAL \"return 1\" 0; EVAL \"return redis.call('get', KEYS[1])\" 1 str; \
         EVAL \"return redis.call('set', KEYS[1], ARGV[1])\" 1 new v; GET new; \
         EVAL \"return {1, 'a', false, {2}, redis.status_reply('fine')}\" 0; EVAL \"return redis.error_reply('ERR mine')\" 0; \
         EVAL \"return redis.call('lpush', KEYS[1], 'x')\" 1 str; EVAL \"return redis.pcall('lpush', KEYS[1], 'x')\" 1 str; \
         EVAL nosuch( 0; EVAL \"return 1\" x; EVAL \"return 1\" -1; EVAL \"return 1\" 2 a; \
         EVAL \"redis.setresp(3) return redis.call('hgetall', KEYS[1])\" 1 hash; EVAL \"return redis.call('blpop', 'none', 0)\" 0; \
         EVAL \"return redis.call('nosuch')\" 0; EVAL \"return nosuch\" 0",
    ),
    bytes("eval_ro", "EVAL_RO \"return redis.call('get', KEYS[1])\" 1 str; EVAL_RO \"return redis.call('set', KEYS[1], 'v')\" 1 str"),
    bytes(
        "evalsha",
        "SCRIPT FLUSH; EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0; SCRIPT LOAD \"return 1\"; \
         EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0; EVALSHA E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 0; EVALSHA x 0; \
         EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db x",
    ),
    bytes("evalsha_ro", "SCRIPT LOAD \"return 1\"; EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0; EVALSHA_RO x 0"),
    bytes(
        "fcall",
        "FUNCTION FLUSH; \
         FUNCTION LOAD \"#!lua name=l\nredis.register_function('f', function(keys, args) return redis.call('set', keys[1], args[1]) \
          end)\"; FCALL f 1 new v; GET new; FCALL nosuch 0; FCALL f x; FCALL f 0; FCALL f 2 a; FCALL_RO f 1 new v; FUNCTION FLUSH",
    ),
    bytes(
        "fcall_ro",
        "FUNCTION FLUSH; \
         FUNCTION LOAD \"#!lua name=l\nredis.register_function{function_name='f', callback=function(keys) return redis.call('get', \
          keys[1]) end, flags={'no-writes'}}\"; FCALL_RO f 1 str; FCALL_RO nosuch 0; FUNCTION FLUSH",
    ),
    bytes(
        "function|delete",
        "FUNCTION FLUSH; FUNCTION LOAD \"#!lua name=l\nredis.register_function('f', function() return 1 end)\"; FUNCTION DELETE l; \
         FUNCTION DELETE l; FUNCTION NOSUCH; FUNCTION",
    ),
    bytes(
        "function|dump",
        "FUNCTION FLUSH; FUNCTION DUMP; FUNCTION LOAD \"#!lua name=l\nredis.register_function('f', function() return 1 end)\"; \
         FUNCTION DUMP; FUNCTION FLUSH",
    ),
    bytes("function|flush", "FUNCTION FLUSH; FUNCTION FLUSH SYNC; FUNCTION FLUSH ASYNC; FUNCTION FLUSH NOSUCH; FUNCTION FLUSH SYNC x"),
    bytes("function|help", "FUNCTION HELP"),
    bytes("function|kill", "FUNCTION KILL"),
    bytes(
        "function|list",
        "FUNCTION FLUSH; FUNCTION LIST; FUNCTION LOAD \"#!lua name=l\nredis.register_function('f', function() return 1 end)\"; \
         FUNCTION LIST; FUNCTION LIST LIBRARYNAME l WITHCODE; FUNCTION LIST LIBRARYNAME nosuch; FUNCTION LIST NOSUCH; FUNCTION FLUSH",
    ),
    bytes(
        "function|load",
        "FUNCTION FLUSH; FUNCTION LOAD \"#!lua name=l\nredis.register_function('f', function() return 1 end)\"; \
         FUNCTION LOAD \"#!lua name=l\nredis.register_function('f', function() return 1 end)\"; \
         FUNCTION LOAD REPLACE \"#!lua name=l\nredis.register_function('f', function() return 2 end)\"; FCALL f 0; FUNCTION LOAD x; \
         FUNCTION LOAD \"#!nosuch name=x\n\"; FUNCTION LOAD NOSUCH x; FUNCTION FLUSH",
    ),
    bytes("function|restore", "FUNCTION RESTORE x; FUNCTION RESTORE x FLUSH; FUNCTION RESTORE x NOSUCH; FUNCTION RESTORE x APPEND y"),
    bytes("function|stats", "FUNCTION FLUSH; FUNCTION STATS"),
    alone("script|debug", "SCRIPT DEBUG NO; SCRIPT DEBUG NOSUCH; SCRIPT NOSUCH; SCRIPT"),
    bytes("script|exists", "SCRIPT FLUSH; SCRIPT LOAD \"return 1\"; SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db x"),
    bytes("script|flush", "SCRIPT FLUSH; SCRIPT FLUSH SYNC; SCRIPT FLUSH ASYNC; SCRIPT FLUSH NOSUCH; SCRIPT FLUSH SYNC x"),
    bytes("script|help", "SCRIPT HELP"),
    bytes("script|kill", "SCRIPT KILL"),
    bytes("script|load", "SCRIPT LOAD \"return 1\"; SCRIPT LOAD nosuch("),
];
