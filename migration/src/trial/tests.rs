use std::collections::BTreeMap;

use interlay_resp::decode_reply;

use super::*;

/// A server with keys, each of them a type and a payload. It takes what a trial may ask it, and remembers it.
#[derive(Default)]
struct Model {
    keys: BTreeMap<Vec<u8>, Vec<u8>>,
    asked: Vec<String>,
    run_id: &'static str,
    refuses: &'static str,
    /// Lost when asked this.
    lost_at: &'static str,
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

impl Ask for Model {
    async fn ask_all(&mut self, requests: &[Request]) -> Result<Vec<Frame>, AskError> {
        let mut replies = Vec::new();
        for words in requests {
            let command = String::from_utf8_lossy(&words[0]).into_owned();
            if command == self.lost_at {
                return Err(AskError("gone".to_owned()));
            }
            let key = words.get(1).cloned().unwrap_or_default();
            let held = self.keys.get(&key);
            let reply = match command.as_str() {
                refused if refused == self.refuses => b"-ERR DUMP payload version or checksum are wrong\r\n".to_vec(),
                "INFO" if words[1] == b"server" => bulk(format!("run_id:{}\r\n", self.run_id).as_bytes()),
                "INFO" => bulk(format!("db0:keys={}\r\n", self.keys.len()).as_bytes()),
                "SELECT" => b"+OK\r\n".to_vec(),
                "SCAN" => {
                    let names: Vec<_> = self.keys.keys().map(|key| bulk(key)).collect();
                    [format!("*2\r\n$1\r\n0\r\n*{}\r\n", names.len()).into_bytes(), names.concat()].concat()
                }
                "TYPE" => b"+set\r\n".to_vec(),
                "MEMORY" => b":100\r\n".to_vec(),
                // A set of single letters; the version is in its last ten bytes.
                "DUMP" => held.map_or_else(|| b"$-1\r\n".to_vec(), |value| bulk(&[value, b"0123456789".as_slice()].concat())),
                "SMEMBERS" => {
                    let members: Vec<_> = held.expect("a key").iter().map(|member| bulk(&[*member])).collect();
                    [format!("*{}\r\n", members.len()).into_bytes(), members.concat()].concat()
                }
                "RESTORE" => {
                    let mut value = words[3][..words[3].len() - 10].to_vec();
                    // Another order; and one key's value is spoiled.
                    value.reverse();
                    self.keys.insert(key, if value == b"!dc" { b"??".to_vec() } else { value });
                    b"+OK\r\n".to_vec()
                }
                "DEL" => {
                    words[1..].iter().for_each(|key| drop(self.keys.remove(key)));
                    b":1\r\n".to_vec()
                }
                "EXISTS" => format!(":{}\r\n", u8::from(held.is_some())).into_bytes(),
                other => panic!("{other} is not for a trial"),
            };
            self.asked.push(command);
            replies.push(decode_reply(&reply).expect("a reply"));
        }
        Ok(replies)
    }
}

fn server(run_id: &'static str, keys: &[(&str, &str)]) -> Model {
    let keys = keys.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    Model { run_id, keys, ..Model::default() }
}

async fn tried(source: &mut Model, target: &mut Model, keys: u32) -> Result<Trial, TestRunError> {
    trial(source, target, &Filter::default(), keys, "0", || Duration::ZERO).await
}

#[tokio::test]
async fn keys_are_compared_whatever_their_order_and_removed() {
    let mut source = server("a", &[("1", "ab"), ("2", "aa"), ("3", "cd!")]);
    let mut target = server("b", &[("mine", "x")]);
    let trial = tried(&mut source, &mut target, 100).await.expect("a trial");
    assert_eq!(trial.all, Fates { same: 2, differ: 1, ..Fates::default() });
    assert_eq!((trial.types.get("set"), trial.left, trial.estimated_ms), (Some(&trial.all), 0, Some(0)));
    assert_eq!(target.keys.into_keys().collect::<Vec<_>>(), [b"mine"]);
    assert!(!source.asked.iter().any(|command| ["RESTORE", "DEL"].contains(&command.as_str())), "{:?}", source.asked);
    assert_eq!(tried(&mut source, &mut server("b", &[]), 2).await.expect("a trial").all.taken(), 2);
}

#[tokio::test]
async fn refusals_are_counted_with_what_they_mean() {
    let mut source = server("a", &[("1", "ab"), ("2", "aa")]);
    let mut target = Model { refuses: "RESTORE", ..server("b", &[]) };
    let trial = tried(&mut source, &mut target, 100).await.expect("a trial");
    let [refusal] = trial.refusals.as_slice() else { panic!("{trial:?}") };
    assert_eq!((refusal.keys, trial.all.refused, trial.estimated_ms), (2, 2, None));
    assert!(refusal.meaning.as_ref().is_some_and(|meaning| meaning.contains("copies such keys by type")), "{refusal:?}");
}

#[tokio::test]
async fn scratch_keys_go_when_the_source_is_lost_and_by_a_sweep_when_the_target_is() {
    let mut source = Model { lost_at: "SMEMBERS", ..server("a", &[("1", "ab")]) };
    let mut target = server("b", &[]);
    assert!(matches!(tried(&mut source, &mut target, 9).await, Err(TestRunError::Lost { side: Side::Source, .. })));
    assert!(target.keys.is_empty() && target.asked.contains(&"RESTORE".to_owned()));

    let (mut source, mut target) = (server("a", &[("1", "ab")]), Model { lost_at: "DEL", ..server("b", &[]) });
    assert!(matches!(tried(&mut source, &mut target, 9).await, Err(TestRunError::Lost { side: Side::Target, .. })));
    target.lost_at = "";
    sweep(&mut target, "0", 9).await.expect("an answer");
    assert!(target.keys.is_empty());
}

#[tokio::test]
async fn one_server_is_no_source_and_target() {
    let refused = tried(&mut server("a", &[("1", "ab")]), &mut server("a", &[]), 1).await;
    assert_eq!(refused, Err(TestRunError::SameServer));
}

#[test]
fn few_keys_of_one_database_travel_together_and_not_too_large() {
    let key = |db, bytes| Sampled { db, key: vec![], kind: String::new(), bytes };
    let small: Vec<_> = (0..100).map(|_| key(0, 10)).collect();
    assert_eq!(batch(&small), BATCH_KEYS);
    assert_eq!(batch(&[key(0, 1), key(1, 1)]), 1);
    assert_eq!(batch(&[key(0, BATCH_BYTES), key(0, 1)]), 1);
}
