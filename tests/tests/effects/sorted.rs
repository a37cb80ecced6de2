//! SORT ... STORE is repeated as it is where it orders everything totally: also between servers whose sets hold the same members in
//! different orders.

use interlay_tests::{Pair, Rng, assert_equal, text};

#[test]
fn stored_sorts_do_not_depend_on_the_order_inside_of_a_set() {
    let mut rng = Rng::printed();
    let pair = Pair::start("source-authoritative");
    let mut members: Vec<String> = (0..1000).map(|n| (n * 7).to_string()).collect();
    for server in [&pair.source, &pair.target] {
        for at in (1..members.len()).rev() {
            members.swap(at, rng.below(at as u64 + 1) as usize);
        }
        server.call(["SADD", "set"].into_iter().chain(members.iter().map(String::as_str)));
        let scored = members.iter().flat_map(|member| ["1", member.as_str()]);
        server.call(["ZADD", "zset"].into_iter().chain(scored));
        for member in &members {
            let weight = member.len().to_string();
            server.call(["SET", &format!("weight_{member}"), &weight]);
        }
    }
    assert_ne!(pair.source.call(["SMEMBERS", "set"]), pair.target.call(["SMEMBERS", "set"]), "the sets have different orders");
    let mut conn = pair.interlay.conn();
    for (n, line) in [
        "",
        "DESC",
        "ALPHA",
        "ALPHA DESC LIMIT 3 500",
        "BY weight_*",
        "BY weight_* DESC LIMIT 10 200",
        "BY none_*",
        "BY nosort",
        "BY nosort DESC LIMIT 1 5 GET # GET weight_*",
    ]
    .into_iter()
    .enumerate()
    {
        for key in ["set", "zset"] {
            let to = format!("sorted-{key}-{n}");
            let args = ["SORT", key].into_iter().chain(line.split_whitespace()).chain(["STORE", &to]);
            let reply = conn.call(args);
            assert!(reply.starts_with(b":"), "{line}: {}", text(&reply));
        }
    }
    pair.settled();
    assert_eq!(pair.interlay.number("counters.skipped_unrepeatable"), 0);
    assert_equal(&pair.source, &pair.target);
}
