use std::cell::Cell;

use interlay_resp::decode_reply;

use super::*;
use crate::ask::AskError;

/// A source of `keys` keys named by their numbers, ten a page, in which every fifth is a list. Asked for anything but what reads, it
/// fails.
struct Model {
    keys: u64,
    refuses: &'static str,
    pages: u64,
}

impl Ask for Model {
    async fn ask_all(&mut self, requests: &[Request]) -> Result<Vec<Frame>, AskError> {
        let reply = |request: &Request| {
            let words: Vec<_> = request.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            let last = || words.last().and_then(|key| key.parse::<u64>().ok()).expect("a key");
            if words[0] == self.refuses {
                return "-NOPERM no\r\n".to_owned();
            }
            match words[0].as_str() {
                "INFO" => format!("+db0:keys={},expires=0\r\n", self.keys),
                "SELECT" if words[1] != "0" => "-ERR DB index is out of range\r\n".to_owned(),
                "SELECT" => "+OK\r\n".to_owned(),
                // The cursor's bits are counted up from the highest one.
                "SCAN" => {
                    let page = words[1].parse::<u64>().expect("a cursor").reverse_bits() >> (64 - 10);
                    let next = if (page + 1) * 10 >= self.keys { 0 } else { ((page + 1) << (64 - 10)).reverse_bits() };
                    let names = (page * 10..(page * 10 + 10).min(self.keys)).map(|key| format!("+{key}\r\n")).collect::<Vec<_>>();
                    format!("*2\r\n+{next}\r\n*{}\r\n{}", names.len(), names.concat())
                }
                "TYPE" if last().is_multiple_of(5) => "+list\r\n".to_owned(),
                "TYPE" => "+string\r\n".to_owned(),
                "PTTL" => format!(":{}\r\n", if last().is_multiple_of(2) { -1 } else { 1000 }),
                "MEMORY" => format!(":{}\r\n", 100 + words[2].parse::<u64>().expect("a key")),
                "EXISTS" => format!(":{}\r\n", u64::from(last() < 3)),
                other => panic!("{other} is not for a survey"),
            }
        };
        self.pages += 1;
        Ok(requests.iter().map(|request| decode_reply(reply(request).as_bytes()).expect("a reply")).collect())
    }
}

fn model(keys: u64) -> Model {
    Model { keys, refuses: "", pages: 0 }
}

async fn surveyed(source: &mut Model, target: &mut Model, filter: &Filter, sample: u64, pages_max: u64) -> Survey {
    let looks = Cell::new(0);
    let elapsed = || {
        looks.set(looks.get() + 1);
        if looks.get() >= pages_max { TIME_MAX } else { Duration::ZERO }
    };
    survey(source, target, filter, sample, elapsed).await.expect("a survey")
}

#[tokio::test]
async fn all_keys_are_counted_exactly_if_all_are_asked_about() {
    let (mut source, mut target) = (model(1000), model(7));
    let Survey { numbers, biggest } = surveyed(&mut source, &mut target, &Filter::default(), SAMPLE, 1000).await;
    let all = Counts { keys: 1000, bytes: 100_000 + 999 * 500, with_ttl: 500, on_target: 3 };
    assert_eq!((numbers.all, numbers.dbs.as_slice(), numbers.extrapolates()), (all, [OfDb { db: 0, counts: all }].as_slice(), false));
    let kinds: Vec<_> = numbers.types.iter().map(|(kind, counts)| (kind.as_str(), counts.keys)).collect();
    assert_eq!((kinds, numbers.target_keys), (vec![("list", 200), ("string", 800)], Some(7)));
    assert_eq!(biggest.iter().map(|big| big.bytes).collect::<Vec<_>>(), (1090..1100).rev().collect::<Vec<_>>());
    // A page is one round trip.
    assert!(source.pages <= 104, "{}", source.pages);
}

#[tokio::test]
async fn a_part_stands_for_all() {
    let (mut source, mut target) = (model(1000), model(0));
    let Survey { numbers, .. } = surveyed(&mut source, &mut target, &Filter::default(), 300, 1000).await;
    assert_eq!((numbers.all.keys, numbers.scanned, numbers.asked, numbers.extrapolates()), (1000, 1000, 250, true));
    assert_eq!(numbers.types.values().map(|counts| counts.keys).sum::<u64>(), 1000);
    assert!((590_000..610_000).contains(&numbers.all.bytes), "{}", numbers.all.bytes);
}

#[tokio::test]
async fn past_its_time_it_says_that_it_has_not_seen_all() {
    let (mut source, mut target) = (model(1000), model(0));
    let Survey { numbers, .. } = surveyed(&mut source, &mut target, &Filter::default(), SAMPLE, 50).await;
    assert_eq!((numbers.all.keys, numbers.scanned, numbers.time_was_up, numbers.extrapolates()), (1000, 500, true, true));
    // With a filter nobody knows how many keys there are; the cursor tells how far it has come.
    let filter = Filter { pattern: Some("*".to_owned()), ..Filter::default() };
    let Survey { numbers, .. } = surveyed(&mut source, &mut target, &filter, SAMPLE, 50).await;
    assert_eq!((numbers.scanned, numbers.all.keys), (500, 500 * 1024 / 50));
}

#[tokio::test]
async fn what_is_refused_is_said_and_stops_nothing_but_scan() {
    let [mut source, mut target] = [Model { refuses: "MEMORY", ..model(20) }, Model { refuses: "EXISTS", ..model(0) }];
    let Survey { numbers, biggest } = surveyed(&mut source, &mut target, &Filter::default(), SAMPLE, 1000).await;
    assert_eq!((numbers.all.keys, numbers.bytes_known, numbers.target_known, biggest), (20, false, false, vec![]));
    assert_eq!(numbers.refused, ["source: MEMORY USAGE: NOPERM no", "target: EXISTS: NOPERM no"]);
    source.refuses = "SCAN";
    let refused = survey(&mut source, &mut target, &Filter::default(), SAMPLE, || Duration::ZERO).await;
    assert_eq!(refused, Err(TestRunError::Refused { command: "SCAN", reply: "NOPERM no".to_owned() }));
}

#[test]
fn databases_nobody_has_seen_are_as_the_others_on_average() {
    let counts = |keys| Counts { keys, bytes: 10 * keys, with_ttl: keys / 2, on_target: 0 };
    let seen = Walked { db: 0, keys: 100, types: BTreeMap::from([("string".to_owned(), counts(30)), ("list".to_owned(), counts(20))]) };
    let unseen = Walked { db: 1, keys: 50, ..Walked::default() };
    let (all, types, dbs) = estimate(&[seen, unseen]);
    assert_eq!((all, dbs[&0], dbs[&1]), (counts(150), counts(100), counts(50)));
    assert_eq!((types["string"], types["list"]), (counts(90), counts(60)));
    let (all, types, dbs) = estimate(&[Walked { db: 1, keys: 50, ..Walked::default() }]);
    assert_eq!((all.keys, types.len(), dbs[&1].keys), (50, 0, 50));
    assert_eq!(estimate(&[]).0, Counts::default());
}
