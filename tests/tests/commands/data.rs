//! Rows of the commands that read and write keys.

use super::row::{Row, bytes, shape, unordered};

pub(super) const ROWS: &[Row] = &[
    // Any key.
    bytes(
        "copy",
        "COPY str new; COPY str list; COPY str list REPLACE; COPY none new; COPY str new DB 1; COPY str str; COPY str new DB x; \
         COPY str new DB 99; COPY str new NOSUCH",
    ),
    bytes("del", "DEL str list none; DEL none"),
    bytes("dump", "DUMP str; DUMP list; DUMP none"),
    bytes("exists", "EXISTS str none str; EXISTS none"),
    bytes(
        "expire",
        "EXPIRE str 100; EXPIRE none 100; EXPIRE str x; EXPIRE str 100 NX; EXPIRE str 50 GT; EXPIRE str 50 LT; EXPIRE str 60 XX GT; \
         EXPIRE str 100 NX XX; EXPIRE str 100 GT LT; EXPIRE str 100 NOSUCH; EXPIRE str 9223372036854775807; EXPIRE str -1; EXISTS str",
    ),
    bytes(
        "expireat",
        "EXPIREAT str 4000000000; EXPIRETIME str; EXPIREAT none 4000000000; EXPIREAT str x; EXPIREAT str 4000000001 LT; EXPIREAT str 1; \
         GET str",
    ),
    bytes("expiretime", "EXPIRETIME str; EXPIRETIME none; EXPIREAT list 4000000000; EXPIRETIME list"),
    unordered("keys", "KEYS *; KEYS s*; KEYS none; KEYS [ls]*t"),
    bytes(
        "migrate",
        "MIGRATE 127.0.0.1 1 none 0 100; MIGRATE 127.0.0.1 x str 0 100; MIGRATE 127.0.0.1 1 str x 100; MIGRATE 127.0.0.1 1 str 0 x; \
         MIGRATE 127.0.0.1 1 str 0 100 KEYS str; MIGRATE 127.0.0.1 1 \"\" 0 100 COPY KEYS none",
    ),
    bytes("move", "MOVE str 1; MOVE none 1; MOVE list 0; MOVE list x; MOVE list 99; SELECT 1; GET str"),
    bytes(
        "object|encoding",
        "OBJECT ENCODING str; OBJECT ENCODING num; OBJECT ENCODING list; OBJECT ENCODING set; OBJECT ENCODING hash; OBJECT ENCODING none",
    ),
    bytes("object|freq", "OBJECT FREQ str; OBJECT FREQ none"),
    bytes("object|help", "OBJECT HELP; OBJECT NOSUCH; OBJECT"),
    shape("object|idletime", "OBJECT IDLETIME str; OBJECT IDLETIME none"),
    bytes("object|refcount", "OBJECT REFCOUNT str; OBJECT REFCOUNT none"),
    bytes("persist", "PERSIST str; EXPIREAT str 4000000000; PERSIST str; PERSIST none; TTL str"),
    bytes("pexpire", "PEXPIRE str 100000; PEXPIRE none 100000; PEXPIRE str x; PEXPIRE str 50000 GT; PEXPIRE str 0; GET str"),
    bytes(
        "pexpireat",
        "PEXPIREAT str 4000000000000; PEXPIRETIME str; PEXPIREAT none 1; PEXPIREAT str x; PEXPIREAT str 5000000000000 GT; \
         PEXPIREAT str 1; GET str",
    ),
    bytes("pexpiretime", "PEXPIRETIME str; PEXPIRETIME none"),
    shape("pttl", "PEXPIRE str 100000; PTTL str; PTTL list; PTTL none"),
    shape("randomkey", "RANDOMKEY; FLUSHDB; RANDOMKEY; SET only v; RANDOMKEY"),
    bytes("rename", "RENAME str new; GET new; RENAME none new; RENAME new list; RENAME list list"),
    bytes("renamenx", "RENAMENX str new; RENAMENX new list; RENAMENX none new; GET new"),
    bytes(
        "restore",
        "RESTORE new 0 x; RESTORE str 0 x; RESTORE new x x; RESTORE new -1 x; RESTORE new 0 x NOSUCH; RESTORE new 0 x REPLACE ABSTTL; \
         RESTORE new 0 x IDLETIME -1; RESTORE new 0 x FREQ 256",
    ),
    bytes("restore-asking", "RESTORE-ASKING new 0 x; RESTORE-ASKING str 0 x"),
    unordered(
        "scan",
        "SCAN 0 COUNT 1000; SCAN 0 COUNT 1000 MATCH s*; SCAN 0 COUNT 1000 TYPE list; SCAN 0 COUNT 1000 TYPE nosuch; SCAN x; \
         SCAN 0 COUNT 0; SCAN 0 COUNT x; SCAN 0 NOSUCH; SCAN 0 MATCH",
    ),
    bytes(
        "sort",
        "SORT set; SORT list; SORT list ALPHA DESC; SORT list BY nosort GET # GET w_*; SORT set LIMIT 1 1; SORT none; \
         SORT list ALPHA STORE new; LRANGE new 0 -1; SORT none STORE new; EXISTS new; SORT list BY; SORT list LIMIT x 1",
    ),
    bytes(
        "sort_ro",
        "SORT_RO set; SORT_RO list ALPHA; SORT_RO list; SORT_RO set DESC LIMIT 0 2; SORT_RO none; SORT_RO list ALPHA STORE new",
    ),
    bytes("touch", "TOUCH str list none; TOUCH none"),
    shape("ttl", "EXPIRE str 100; TTL str; TTL list; TTL none"),
    bytes("type", "TYPE str; TYPE list; TYPE set; TYPE zset; TYPE hash; TYPE stream; TYPE none"),
    bytes("unlink", "UNLINK str list none; UNLINK none"),
    // Strings, bits.
    bytes("append", "APPEND str x; APPEND none x; GET str"),
    bytes(
        "bitcount",
        "BITCOUNT str; BITCOUNT str 0 0; BITCOUNT str 0 5 BIT; BITCOUNT none; BITCOUNT str x 0; BITCOUNT str 0; BITCOUNT str 0 1 NOSUCH",
    ),
    bytes(
        "bitfield",
        "BITFIELD str GET u8 0 SET u8 0 65 INCRBY i5 100 1; BITFIELD none OVERFLOW FAIL INCRBY u2 0 4 GET u2 0; BITFIELD str; \
         BITFIELD str GET u64 0; BITFIELD str SET u8 x 1; BITFIELD str OVERFLOW NOSUCH",
    ),
    bytes("bitfield_ro", "BITFIELD_RO str GET u8 0 GET i4 #1; BITFIELD_RO none GET u8 0; BITFIELD_RO str SET u8 0 1"),
    bytes(
        "bitop",
        "BITOP AND new str num; BITOP OR new str none; BITOP XOR new str num; BITOP NOT new str; GET new; BITOP NOT new str num; \
         BITOP NOSUCH new str; BITOP AND new none; EXISTS new",
    ),
    bytes(
        "bitpos",
        "BITPOS str 1; BITPOS str 0; BITPOS str 1 2; BITPOS str 1 2 -1 BIT; BITPOS none 1; BITPOS none 0; BITPOS str 2; BITPOS str x",
    ),
    bytes("decr", "DECR num; DECR none; DECR str"),
    bytes("decrby", "DECRBY num 3; DECRBY none 3; DECRBY str 3; DECRBY num x; DECRBY num -9223372036854775808"),
    bytes("get", "GET str; GET none; GET \"\""),
    bytes("getbit", "GETBIT str 1; GETBIT str 1000; GETBIT none 1; GETBIT str -1; GETBIT str x"),
    bytes("getdel", "GETDEL str; GETDEL str; GETDEL none"),
    bytes(
        "getex",
        "GETEX str; GETEX str EX 100; GETEX str PERSIST; GETEX str PXAT 4000000000000; PEXPIRETIME str; GETEX none EX 1; \
         GETEX str EX x; GETEX str EX 0; GETEX str NOSUCH; GETEX str EX 1 PX 1; GETEX str EXAT 1; EXISTS str",
    ),
    bytes("getrange", "GETRANGE str 1 2; GETRANGE str -2 -1; GETRANGE str 9 10; GETRANGE none 0 1; GETRANGE str x 1"),
    bytes("getset", "GETSET str new; GETSET none new; GET str"),
    bytes("incr", "INCR num; INCR none; INCR str; SET big 9223372036854775807; INCR big"),
    bytes("incrby", "INCRBY num 5; INCRBY none 5; INCRBY str 5; INCRBY num x"),
    bytes("incrbyfloat", "INCRBYFLOAT num 1.5; INCRBYFLOAT none 3e2; INCRBYFLOAT str 1; INCRBYFLOAT num x; INCRBYFLOAT num inf; GET num"),
    bytes(
        "lcs",
        "LCS str num; LCS str str; LCS str str LEN; LCS str str IDX; LCS str str IDX MINMATCHLEN 2 WITHMATCHLEN; LCS str none; \
         LCS str str LEN IDX; LCS str str NOSUCH",
    ),
    bytes("mget", "MGET str none list num; MGET none"),
    bytes("mset", "MSET a 1 b 2; MSET a; MSET a 1 b; MGET a b; MSET str x list y; TYPE list"),
    bytes("msetnx", "MSETNX a 1 b 2; MSETNX a 2 c 3; MSETNX a 1 b; MGET a b c"),
    bytes("psetex", "PSETEX new 100000 v; PSETEX new 0 v; PSETEX new x v; PSETEX new -1 v; GET new"),
    bytes(
        "set",
        "SET str v; SET str v NX; SET none v XX; SET str w GET; SET new v GET; SET str v NX GET; SET str v EX 100; SET str v KEEPTTL; \
         SET str v PXAT 4000000000000; PEXPIRETIME str; SET str v EX 0; SET str v EX x; SET str v EX 1 PX 1; SET str v NX XX; \
         SET str v NOSUCH; SET list v GET; SET str v EX; SET \"\" \"\"; GET \"\"; SET str v EXAT 1; EXISTS str",
    ),
    bytes("setbit", "SETBIT str 1 0; SETBIT none 7 1; SETBIT str -1 1; SETBIT str 1 2; SETBIT str x 1; SETBIT str 4294967296 1; GET str"),
    bytes("setex", "SETEX new 100 v; SETEX new 0 v; SETEX new x v; GET new"),
    bytes("setnx", "SETNX str v; SETNX new v; SETNX list v"),
    bytes(
        "setrange",
        "SETRANGE str 1 XX; SETRANGE none 3 x; SETRANGE str -1 x; SETRANGE str x x; SETRANGE empty 0 \"\"; SETRANGE str 536870912 x; \
         GET str; GET none",
    ),
    bytes("strlen", "STRLEN str; STRLEN none"),
    bytes("substr", "SUBSTR str 1 2; SUBSTR none 0 1; SUBSTR str x 1"),
    // Lists.
    bytes(
        "blmove",
        "BLMOVE list new LEFT RIGHT 0.01; BLMOVE none new LEFT LEFT 0.01; BLMOVE list new UP LEFT 0; BLMOVE list new LEFT LEFT x; \
         BLMOVE list new LEFT LEFT -1; BLMOVE list str LEFT LEFT 0; LRANGE new 0 -1",
    ),
    bytes(
        "blmpop",
        "BLMPOP 0.01 2 none list LEFT; BLMPOP 0.01 1 list RIGHT COUNT 5; BLMPOP 0.01 1 none LEFT; BLMPOP x 1 list LEFT; \
         BLMPOP -1 1 list LEFT; BLMPOP 0 0 list LEFT; BLMPOP 0 x list LEFT; BLMPOP 0 1 list UP; BLMPOP 0 1 list LEFT COUNT 0; \
         BLMPOP 0 1 str LEFT; BLMPOP 0 3 list LEFT",
    ),
    bytes(
        "blpop",
        "BLPOP list 0.01; BLPOP none list 0.01; BLPOP none 0.01; BLPOP none none2 0.01; BLPOP list x; BLPOP list -1; BLPOP str 0; \
         BLPOP none str 0; BLPOP list 99999999999999999999; LRANGE list 0 -1",
    ),
    bytes("brpop", "BRPOP list 0.01; BRPOP none list 0.01; BRPOP none 0.01; BRPOP list x; BRPOP list -1; BRPOP str 0"),
    bytes(
        "brpoplpush",
        "BRPOPLPUSH list new 0.01; BRPOPLPUSH none new 0.01; BRPOPLPUSH list new x; BRPOPLPUSH list new -1; BRPOPLPUSH list str 0; \
         BRPOPLPUSH list list 0; LRANGE new 0 -1",
    ),
    bytes("lindex", "LINDEX list 0; LINDEX list -1; LINDEX list 9; LINDEX none 0; LINDEX list x"),
    bytes(
        "linsert",
        "LINSERT list BEFORE b x; LINSERT list AFTER b y; LINSERT list BEFORE nosuch x; LINSERT none BEFORE b x; \
         LINSERT list NOSUCH b x; LRANGE list 0 -1",
    ),
    bytes("llen", "LLEN list; LLEN none"),
    bytes(
        "lmove",
        "LMOVE list new LEFT RIGHT; LMOVE none new LEFT LEFT; LMOVE list new UP LEFT; LMOVE list str LEFT LEFT; LRANGE new 0 -1; \
         LMOVE list list LEFT RIGHT",
    ),
    bytes(
        "lmpop",
        "LMPOP 2 none list LEFT; LMPOP 1 list RIGHT COUNT 5; LMPOP 1 none LEFT; LMPOP 0 list LEFT; LMPOP x list LEFT; LMPOP 1 list UP; \
         LMPOP 1 list LEFT COUNT 0; LMPOP 1 str LEFT; LMPOP 2 list LEFT",
    ),
    bytes("lpop", "LPOP list; LPOP list 5; LPOP list; LPOP none; LPOP none 2; LPOP list x; LPOP list -1; LPOP list 0; EXISTS list"),
    bytes(
        "lpos",
        "LPOS list b; LPOS list nosuch; LPOS list b COUNT 0; LPOS list nosuch COUNT 0; LPOS none b; LPOS list b RANK 0; \
         LPOS list b RANK -1 MAXLEN 2; LPOS list b COUNT -1; LPOS list b NOSUCH 1",
    ),
    bytes("lpush", "LPUSH list x y; LPUSH new x; LRANGE list 0 -1"),
    bytes("lpushx", "LPUSHX list x y; LPUSHX none x; LRANGE list 0 -1"),
    bytes("lrange", "LRANGE list 0 -1; LRANGE list 1 1; LRANGE list 5 9; LRANGE none 0 -1; LRANGE list x 1"),
    bytes("lrem", "LREM list 0 b; LREM list 1 nosuch; LREM none 0 b; LREM list x b; LRANGE list 0 -1"),
    bytes("lset", "LSET list 0 x; LSET list 9 x; LSET none 0 x; LSET list x x; LRANGE list 0 -1"),
    bytes("ltrim", "LTRIM list 0 1; LTRIM none 0 1; LTRIM list x 1; LRANGE list 0 -1; LTRIM list 5 9; EXISTS list"),
    bytes("rpop", "RPOP list; RPOP list 5; RPOP list; RPOP none; RPOP none 2; RPOP list x; RPOP list -1"),
    bytes("rpoplpush", "RPOPLPUSH list new; RPOPLPUSH none new; RPOPLPUSH list str; RPOPLPUSH list list; LRANGE new 0 -1"),
    bytes("rpush", "RPUSH list x y; RPUSH new x; LRANGE list 0 -1"),
    bytes("rpushx", "RPUSHX list x y; RPUSHX none x; LRANGE list 0 -1"),
    // Sets: small integers have an order.
    bytes("sadd", "SADD set 4 1; SADD new 1 2; SADD words b a; SMEMBERS set; SCARD words"),
    bytes("scard", "SCARD set; SCARD none"),
    bytes("sdiff", "SDIFF set none; SADD other 2; SDIFF set other; SDIFF none set"),
    bytes(
        "sdiffstore",
        "SADD other 2; SDIFFSTORE new set other; SMEMBERS new; SDIFFSTORE new none; EXISTS new; SDIFFSTORE str set; TYPE str",
    ),
    bytes("sinter", "SADD other 2 3; SINTER set other; SINTER set none; SINTER none"),
    bytes(
        "sintercard",
        "SADD other 2 3; SINTERCARD 2 set other; SINTERCARD 2 set other LIMIT 1; SINTERCARD 1 none; SINTERCARD 0 set; SINTERCARD x set; \
         SINTERCARD 2 set; SINTERCARD 1 set LIMIT -1",
    ),
    bytes("sinterstore", "SADD other 2 3; SINTERSTORE new set other; SMEMBERS new; SINTERSTORE new set none; EXISTS new"),
    bytes("sismember", "SISMEMBER set 1; SISMEMBER set 9; SISMEMBER none 1"),
    bytes("smembers", "SMEMBERS set; SMEMBERS words; SMEMBERS none"),
    bytes("smismember", "SMISMEMBER set 1 9 2; SMISMEMBER none 1 2"),
    bytes("smove", "SMOVE set new 1; SMOVE set new 9; SMOVE none new 1; SMOVE set set 2; SMEMBERS set; SMOVE set str 2; SMOVE set str 9"),
    shape("spop", "SPOP set; SPOP words; SPOP set 5; SPOP set; SPOP none; SPOP none 2; SPOP set x; SPOP set -1; EXISTS set"),
    shape(
        "srandmember",
        "SRANDMEMBER set; SRANDMEMBER set 2; SRANDMEMBER set -5; SRANDMEMBER set 9; SRANDMEMBER set 0; SRANDMEMBER none; \
         SRANDMEMBER none 2; SRANDMEMBER set x",
    ),
    bytes("srem", "SREM set 1 9; SREM none 1; SMEMBERS set; SREM set 2 3; EXISTS set"),
    bytes("sscan", "SSCAN set 0; SSCAN set 0 MATCH 1; SSCAN none 0; SSCAN set x; SSCAN set 0 COUNT 0; SSCAN set 0 NOSUCH; SSCAN words 0"),
    bytes("sunion", "SADD other 2 9; SUNION set other; SUNION set none; SUNION none"),
    bytes("sunionstore", "SADD other 2 9; SUNIONSTORE new set other; SMEMBERS new; SUNIONSTORE new none; EXISTS new"),
    // Sorted sets.
    bytes(
        "bzmpop",
        "BZMPOP 0.01 2 none zset MIN; BZMPOP 0.01 1 zset MAX COUNT 5; BZMPOP 0.01 1 none MIN; BZMPOP x 1 zset MIN; \
         BZMPOP -1 1 zset MIN; BZMPOP 0 0 zset MIN; BZMPOP 0 1 zset UP; BZMPOP 0 1 str MIN; BZMPOP 0 1 zset MIN COUNT 0",
    ),
    bytes("bzpopmax", "BZPOPMAX zset 0.01; BZPOPMAX none zset 0.01; BZPOPMAX none 0.01; BZPOPMAX zset x; BZPOPMAX zset -1; BZPOPMAX str 0"),
    bytes("bzpopmin", "BZPOPMIN zset 0.01; BZPOPMIN none zset 0.01; BZPOPMIN none 0.01; BZPOPMIN zset x; BZPOPMIN zset -1; BZPOPMIN str 0"),
    bytes(
        "zadd",
        "ZADD zset 4 d; ZADD zset 5 a; ZADD zset CH 6 a 7 e; ZADD zset NX 1 a; ZADD zset XX 1 nosuch; ZADD zset GT 1 a; \
         ZADD zset INCR 1.5 a; ZADD zset NX INCR 1 a; ZADD new 1 a; ZADD zset x a; ZADD zset 1; ZADD zset 1 a 2; ZADD zset NX XX 1 a; \
         ZADD zset GT LT 1 a; ZADD zset INCR 1 a 2 b; ZADD zset nan a; ZADD zset inf a; ZADD zset INCR -inf a; \
         ZRANGE zset 0 -1 WITHSCORES",
    ),
    bytes("zcard", "ZCARD zset; ZCARD none"),
    bytes("zcount", "ZCOUNT zset 1 2; ZCOUNT zset (1 +inf; ZCOUNT none 0 1; ZCOUNT zset x 1"),
    bytes(
        "zdiff",
        "ZDIFF 1 zset; ZDIFF 2 zset none WITHSCORES; ZDIFF 1 none; ZDIFF 0 zset; ZDIFF 2 zset; ZDIFF x zset; ZDIFF 1 zset NOSUCH",
    ),
    bytes("zdiffstore", "ZDIFFSTORE new 2 zset none; ZRANGE new 0 -1; ZDIFFSTORE new 1 none; EXISTS new; ZDIFFSTORE new 0 zset"),
    bytes("zincrby", "ZINCRBY zset 1.5 a; ZINCRBY new 1 a; ZINCRBY zset x a; ZINCRBY zset inf a; ZINCRBY zset -inf a"),
    bytes(
        "zinter",
        "ZINTER 2 zset zset; ZINTER 2 zset zset WITHSCORES WEIGHTS 2 3 AGGREGATE MAX; ZINTER 2 zset none; ZINTER 0 zset; \
         ZINTER 1 zset WEIGHTS x; ZINTER 1 zset AGGREGATE NOSUCH",
    ),
    bytes(
        "zintercard",
        "ZINTERCARD 2 zset zset; ZINTERCARD 2 zset zset LIMIT 1; ZINTERCARD 1 none; ZINTERCARD 0 zset; ZINTERCARD 1 zset LIMIT -1",
    ),
    bytes(
        "zinterstore",
        "ZINTERSTORE new 2 zset zset WEIGHTS 2 3; ZRANGE new 0 -1 WITHSCORES; ZINTERSTORE new 1 none; EXISTS new; \
         ZINTERSTORE new 0 zset; ZINTERSTORE str 1 zset; TYPE str",
    ),
    bytes("zlexcount", "ZLEXCOUNT zset - +; ZLEXCOUNT zset [b (c; ZLEXCOUNT none - +; ZLEXCOUNT zset x y"),
    bytes(
        "zmpop",
        "ZMPOP 2 none zset MIN; ZMPOP 1 zset MAX COUNT 5; ZMPOP 1 none MIN; ZMPOP 0 zset MIN; ZMPOP 1 zset UP; \
         ZMPOP 1 zset MIN COUNT 0; ZMPOP 1 str MIN",
    ),
    bytes("zmscore", "ZMSCORE zset a nosuch b; ZMSCORE none a"),
    bytes("zpopmax", "ZPOPMAX zset; ZPOPMAX zset 5; ZPOPMAX zset; ZPOPMAX none; ZPOPMAX none 2; ZPOPMAX none x; ZPOPMAX none -1"),
    bytes("zpopmin", "ZPOPMIN zset; ZPOPMIN zset 5; ZPOPMIN zset; ZPOPMIN none; ZPOPMIN none 2; ZPOPMIN none x; ZPOPMIN none -1"),
    shape(
        "zrandmember",
        "ZRANDMEMBER zset; ZRANDMEMBER zset 2; ZRANDMEMBER zset -5 WITHSCORES; ZRANDMEMBER zset 9 WITHSCORES; ZRANDMEMBER none; \
         ZRANDMEMBER none 2; ZRANDMEMBER zset x; ZRANDMEMBER zset 1 NOSUCH",
    ),
    bytes(
        "zrange",
        "ZRANGE zset 0 -1; ZRANGE zset 0 -1 WITHSCORES; ZRANGE zset 0 0 REV; ZRANGE zset (1 3 BYSCORE LIMIT 0 1; \
         ZRANGE zset [a (c BYLEX; ZRANGE none 0 -1; ZRANGE zset x 1; ZRANGE zset 0 1 NOSUCH; ZRANGE zset 0 1 LIMIT 0 1; \
         ZRANGE zset - + BYLEX WITHSCORES; ZRANGE zset x y BYSCORE",
    ),
    bytes(
        "zrangebylex",
        "ZRANGEBYLEX zset - +; ZRANGEBYLEX zset [b + LIMIT 0 1; ZRANGEBYLEX none - +; ZRANGEBYLEX zset x y; ZRANGEBYLEX zset - + NOSUCH",
    ),
    bytes(
        "zrangebyscore",
        "ZRANGEBYSCORE zset 1 2; ZRANGEBYSCORE zset -inf +inf WITHSCORES LIMIT 1 1; ZRANGEBYSCORE none 0 1; ZRANGEBYSCORE zset x y",
    ),
    bytes(
        "zrangestore",
        "ZRANGESTORE new zset 0 -1; ZRANGE new 0 -1; ZRANGESTORE new zset 2 3 BYSCORE; ZRANGESTORE new none 0 -1; EXISTS new; \
         ZRANGESTORE new zset 0 -1 WITHSCORES",
    ),
    bytes("zrank", "ZRANK zset b; ZRANK zset nosuch; ZRANK none b"),
    bytes("zrem", "ZREM zset a nosuch; ZREM none a; ZREM zset b c; EXISTS zset"),
    bytes("zremrangebylex", "ZREMRANGEBYLEX zset [a [b; ZREMRANGEBYLEX none - +; ZREMRANGEBYLEX zset x y; ZRANGE zset 0 -1"),
    bytes("zremrangebyrank", "ZREMRANGEBYRANK zset 0 0; ZREMRANGEBYRANK none 0 1; ZREMRANGEBYRANK zset x 1; ZRANGE zset 0 -1"),
    bytes("zremrangebyscore", "ZREMRANGEBYSCORE zset 1 2; ZREMRANGEBYSCORE none 0 1; ZREMRANGEBYSCORE zset x y; ZRANGE zset 0 -1"),
    bytes("zrevrange", "ZREVRANGE zset 0 -1; ZREVRANGE zset 0 0 WITHSCORES; ZREVRANGE none 0 -1; ZREVRANGE zset x 1"),
    bytes("zrevrangebylex", "ZREVRANGEBYLEX zset + -; ZREVRANGEBYLEX zset (c [a LIMIT 0 1; ZREVRANGEBYLEX none + -"),
    bytes("zrevrangebyscore", "ZREVRANGEBYSCORE zset 3 2; ZREVRANGEBYSCORE zset +inf -inf WITHSCORES; ZREVRANGEBYSCORE none 1 0"),
    bytes("zrevrank", "ZREVRANK zset b; ZREVRANK zset nosuch; ZREVRANK none b"),
    bytes("zscan", "ZSCAN zset 0; ZSCAN zset 0 MATCH a; ZSCAN none 0; ZSCAN zset x; ZSCAN zset 0 COUNT 0"),
    bytes("zscore", "ZSCORE zset a; ZSCORE zset nosuch; ZSCORE none a"),
    bytes("zunion", "ZUNION 2 zset zset WITHSCORES; ZUNION 2 zset none; ZUNION 2 zset set AGGREGATE MIN WITHSCORES; ZUNION 0 zset"),
    bytes(
        "zunionstore",
        "ZUNIONSTORE new 2 zset set; ZRANGE new 0 -1 WITHSCORES; ZUNIONSTORE new 1 none; EXISTS new; ZUNIONSTORE new 1 zset NOSUCH",
    ),
    // Hashes.
    bytes("hdel", "HDEL hash f nosuch; HDEL none f; HDEL hash n; EXISTS hash"),
    bytes("hexists", "HEXISTS hash f; HEXISTS hash nosuch; HEXISTS none f"),
    bytes("hget", "HGET hash f; HGET hash nosuch; HGET none f"),
    bytes("hgetall", "HGETALL hash; HGETALL none"),
    bytes("hincrby", "HINCRBY hash n 3; HINCRBY hash new 3; HINCRBY none n 3; HINCRBY hash f 1; HINCRBY hash n x"),
    bytes("hincrbyfloat", "HINCRBYFLOAT hash n 1.5; HINCRBYFLOAT none n 1.5; HINCRBYFLOAT hash f 1; HINCRBYFLOAT hash n x"),
    bytes("hkeys", "HKEYS hash; HKEYS none"),
    bytes("hlen", "HLEN hash; HLEN none"),
    bytes("hmget", "HMGET hash f nosuch n; HMGET none f"),
    bytes("hmset", "HMSET hash f w g x; HMSET new f v; HMSET hash f; HMSET hash f v g; HGETALL hash"),
    shape(
        "hrandfield",
        "HRANDFIELD hash; HRANDFIELD hash 1; HRANDFIELD hash -3 WITHVALUES; HRANDFIELD hash 9 WITHVALUES; HRANDFIELD none; \
         HRANDFIELD none 2; HRANDFIELD hash x; HRANDFIELD hash 1 NOSUCH",
    ),
    bytes("hscan", "HSCAN hash 0; HSCAN hash 0 MATCH f; HSCAN none 0; HSCAN hash x; HSCAN hash 0 COUNT 0"),
    bytes("hset", "HSET hash f w g x; HSET new f v; HSET hash f; HSET hash f v g; HGETALL hash"),
    bytes("hsetnx", "HSETNX hash f w; HSETNX hash g w; HSETNX none f v; HGETALL hash"),
    bytes("hstrlen", "HSTRLEN hash f; HSTRLEN hash nosuch; HSTRLEN none f"),
    bytes("hvals", "HVALS hash; HVALS none"),
    // Streams.
    bytes(
        "xack",
        "XREADGROUP GROUP group me STREAMS stream >; XACK stream group 1-1 9-9; XACK none group 1-1; XACK stream nosuch 1-1; \
         XACK stream group x",
    ),
    bytes(
        "xadd",
        "XADD stream 3-1 f v; XADD stream 3-1 f v; XADD stream 0-0 f v; XADD new 1-* f v; XADD none NOMKSTREAM 1-1 f v; \
         XADD stream MAXLEN 2 4-1 f v; XADD stream MINID = 3 5-1 f v; XADD stream x f v; XADD stream 6-1 f; XADD stream 6-1 f v g; \
         XADD stream MAXLEN -1 6-1 f v; XADD stream MAXLEN 1 MINID 1 6-1 f v; XADD stream LIMIT 1 6-1 f v; XRANGE stream - +",
    ),
    shape("xadd", "XADD stream * f v; XADD new * f v; XADD stream MAXLEN ~ 1000 * f v; XLEN stream"),
    bytes(
        "xautoclaim",
        "XREADGROUP GROUP group me STREAMS stream >; XAUTOCLAIM stream group you 0 0; XAUTOCLAIM stream group you 0 0 COUNT 1 JUSTID; \
         XDEL stream 1-1; XAUTOCLAIM stream group me 0 -; XAUTOCLAIM none group you 0 0; XAUTOCLAIM stream nosuch you 0 0; \
         XAUTOCLAIM stream group you x 0; XAUTOCLAIM stream group you 0 x; XAUTOCLAIM stream group you 0 0 COUNT 0",
    ),
    bytes(
        "xclaim",
        "XREADGROUP GROUP group me STREAMS stream >; XCLAIM stream group you 0 1-1; XCLAIM stream group you 0 1-1 2-1 JUSTID; \
         XCLAIM stream group you 0 9-9; XCLAIM stream group you 0 9-9 FORCE; XCLAIM stream group you 9999999 1-1; \
         XCLAIM none group you 0 1-1; XCLAIM stream nosuch you 0 1-1; XCLAIM stream group you x 1-1; XCLAIM stream group you 0 x; \
         XCLAIM stream group you 0 1-1 NOSUCH; XCLAIM stream group you 0 1-1 RETRYCOUNT 5 LASTID 2-1",
    ),
    bytes("xdel", "XDEL stream 1-1 9-9; XDEL none 1-1; XDEL stream x; XLEN stream"),
    bytes(
        "xgroup|create",
        "XGROUP CREATE stream new $; XGROUP CREATE stream new $; XGROUP CREATE none new $; XGROUP CREATE none new $ MKSTREAM; \
         XGROUP CREATE stream x bad; XGROUP CREATE stream y 0 ENTRIESREAD 1; XGROUP CREATE stream z 0 ENTRIESREAD -9; \
         XGROUP CREATE stream z 0 NOSUCH; XGROUP NOSUCH stream; XGROUP",
    ),
    bytes(
        "xgroup|createconsumer",
        "XGROUP CREATECONSUMER stream group me; XGROUP CREATECONSUMER stream group me; XGROUP CREATECONSUMER stream nosuch me; \
         XGROUP CREATECONSUMER none group me",
    ),
    bytes(
        "xgroup|delconsumer",
        "XGROUP CREATECONSUMER stream group me; XGROUP DELCONSUMER stream group me; XGROUP DELCONSUMER stream group me; \
         XGROUP DELCONSUMER stream nosuch me; XGROUP DELCONSUMER none group me",
    ),
    bytes("xgroup|destroy", "XGROUP DESTROY stream group; XGROUP DESTROY stream group; XGROUP DESTROY none group"),
    bytes("xgroup|help", "XGROUP HELP"),
    bytes(
        "xgroup|setid",
        "XGROUP SETID stream group 1-1; XGROUP SETID stream group $ ENTRIESREAD 2; XGROUP SETID stream nosuch 0; \
         XGROUP SETID none group 0; XGROUP SETID stream group x; XINFO GROUPS stream",
    ),
    shape(
        "xinfo|consumers",
        "XGROUP CREATECONSUMER stream group me; XINFO CONSUMERS stream group; XINFO CONSUMERS stream nosuch; XINFO CONSUMERS none group",
    ),
    bytes("xinfo|groups", "XINFO GROUPS stream; XINFO GROUPS none; XADD new 1-1 f v; XINFO GROUPS new"),
    bytes("xinfo|help", "XINFO HELP; XINFO NOSUCH stream; XINFO"),
    bytes(
        "xinfo|stream",
        "XINFO STREAM stream; XINFO STREAM stream FULL; XINFO STREAM stream FULL COUNT 1; XINFO STREAM none; XINFO STREAM stream NOSUCH",
    ),
    bytes("xlen", "XLEN stream; XLEN none"),
    shape(
        "xpending",
        "XPENDING stream group; XREADGROUP GROUP group me STREAMS stream >; XPENDING stream group; XPENDING stream group - + 10; \
         XPENDING stream group IDLE 0 - + 10 me; XPENDING stream group - + 10 you; XPENDING none group; XPENDING stream nosuch; \
         XPENDING stream group - +; XPENDING stream group x + 1",
    ),
    bytes(
        "xrange",
        "XRANGE stream - +; XRANGE stream (1-1 + COUNT 1; XRANGE stream 1 1; XRANGE none - +; XRANGE stream x +; \
         XRANGE stream - + COUNT x; XRANGE stream - + COUNT 0",
    ),
    bytes(
        "xread",
        "XREAD STREAMS stream 0; XREAD COUNT 1 STREAMS stream 1-1; XREAD STREAMS stream stream 1-1 0; XREAD STREAMS stream $; \
         XREAD STREAMS none 0; XREAD BLOCK 10 STREAMS none $; XREAD BLOCK 10 STREAMS stream 0; XREAD BLOCK x STREAMS stream 0; \
         XREAD BLOCK -1 STREAMS stream 0; XREAD STREAMS stream; XREAD STREAMS stream x; XREAD COUNT x STREAMS stream 0; \
         XREAD STREAMS stream >; XREAD COUNT 1 stream 0",
    ),
    bytes(
        "xreadgroup",
        "XREADGROUP GROUP group me COUNT 1 STREAMS stream >; XREADGROUP GROUP group me STREAMS stream 0; \
         XREADGROUP GROUP group me NOACK STREAMS stream >; XREADGROUP GROUP group me STREAMS stream >; \
         XREADGROUP GROUP group me BLOCK 10 STREAMS stream >; XREADGROUP GROUP nosuch me STREAMS stream >; \
         XREADGROUP GROUP group me STREAMS none >; XREADGROUP GROUP group me STREAMS stream $; \
         XREADGROUP GROUP group me BLOCK x STREAMS stream >; XREADGROUP GROUP group me COUNT 1 BLOCK 1 NOACK; \
         XREADGROUP STREAMS stream > > > >",
    ),
    bytes("xrevrange", "XREVRANGE stream + -; XREVRANGE stream + - COUNT 1; XREVRANGE none + -; XREVRANGE stream x -"),
    bytes(
        "xsetid",
        "XSETID stream 9-1; XSETID stream 1-0; XSETID stream 9-1 ENTRIESADDED 5 MAXDELETEDID 1-1; XSETID none 1-1; XSETID stream x; \
         XSETID stream 9-1 NOSUCH 1; XINFO STREAM stream",
    ),
    bytes(
        "xtrim",
        "XTRIM stream MAXLEN 1; XTRIM stream MAXLEN ~ 100; XTRIM stream MINID 9; XTRIM none MAXLEN 1; XTRIM stream MAXLEN x; \
         XTRIM stream MAXLEN -1; XTRIM stream NOSUCH 1; XTRIM stream MAXLEN 1 LIMIT 5; XLEN stream",
    ),
    // Places.
    bytes(
        "geoadd",
        "GEOADD geo 2.35 48.85 Paris; GEOADD geo NX 2 48 Paris; GEOADD geo XX CH 2 48 Paris; GEOADD new 1 1 a; GEOADD geo x 1 a; \
         GEOADD geo 200 1 a; GEOADD geo 1 1; GEOADD geo NX XX 1 1 a; ZRANGE geo 0 -1 WITHSCORES",
    ),
    bytes(
        "geodist",
        "GEODIST geo Palermo Catania; GEODIST geo Palermo Catania km; GEODIST geo Palermo nosuch; GEODIST none a b; \
         GEODIST geo Palermo Catania parsec",
    ),
    bytes("geohash", "GEOHASH geo Palermo nosuch; GEOHASH none a; GEOHASH geo"),
    bytes("geopos", "GEOPOS geo Palermo nosuch; GEOPOS none a; GEOPOS geo"),
    bytes(
        "georadius",
        "GEORADIUS geo 15 37 200 km ASC; GEORADIUS geo 15 37 200 km WITHCOORD WITHDIST WITHHASH COUNT 1 ANY; \
         GEORADIUS geo 15 37 200 km STORE new; ZRANGE new 0 -1; GEORADIUS none 15 37 200 km; GEORADIUS geo 15 37 x km; \
         GEORADIUS geo 15 37 1 parsec; GEORADIUS geo 15 37 1 km STORE new WITHDIST",
    ),
    bytes("georadius_ro", "GEORADIUS_RO geo 15 37 200 km ASC; GEORADIUS_RO none 15 37 200 km; GEORADIUS_RO geo 15 37 200 km STORE new"),
    bytes(
        "georadiusbymember",
        "GEORADIUSBYMEMBER geo Palermo 200 km ASC; GEORADIUSBYMEMBER geo nosuch 200 km; GEORADIUSBYMEMBER none a 200 km; \
         GEORADIUSBYMEMBER geo Palermo 200 km STOREDIST new; ZRANGE new 0 -1 WITHSCORES",
    ),
    bytes("georadiusbymember_ro", "GEORADIUSBYMEMBER_RO geo Palermo 200 km DESC WITHDIST; GEORADIUSBYMEMBER_RO geo nosuch 200 km"),
    bytes(
        "geosearch",
        "GEOSEARCH geo FROMMEMBER Palermo BYRADIUS 200 km ASC; GEOSEARCH geo FROMLONLAT 15 37 BYBOX 400 400 km DESC WITHCOORD WITHDIST; \
         GEOSEARCH none FROMLONLAT 15 37 BYRADIUS 1 km; GEOSEARCH geo FROMMEMBER nosuch BYRADIUS 1 km; \
         GEOSEARCH geo FROMLONLAT 15 37 ASC COUNT 1; GEOSEARCH geo FROMMEMBER Palermo BYRADIUS 1 km STOREDIST",
    ),
    bytes(
        "geosearchstore",
        "GEOSEARCHSTORE new geo FROMMEMBER Palermo BYRADIUS 200 km ASC; ZRANGE new 0 -1; \
         GEOSEARCHSTORE new geo FROMMEMBER Palermo BYRADIUS 200 km STOREDIST; GEOSEARCHSTORE new none FROMLONLAT 15 37 BYRADIUS 1 km; \
         EXISTS new; GEOSEARCHSTORE new geo FROMMEMBER Palermo BYRADIUS 1 km WITHDIST",
    ),
    // HyperLogLogs.
    bytes("pfadd", "PFADD hll d; PFADD hll a; PFADD new; PFADD new x; PFADD str x"),
    bytes("pfcount", "PFCOUNT hll; PFCOUNT hll none; PFCOUNT none; PFCOUNT str"),
    bytes("pfdebug", "PFDEBUG ENCODING hll; PFDEBUG DECODE hll; PFDEBUG TODENSE hll; PFDEBUG NOSUCH hll; PFDEBUG ENCODING none"),
    bytes("pfmerge", "PFMERGE new hll; PFCOUNT new; PFMERGE hll new none; PFMERGE new; PFMERGE str hll; PFMERGE hll str"),
];
