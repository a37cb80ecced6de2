use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use interlay_routing::OnLag;
use tracing::Level;

use super::keys::keys;
use super::*;

const SOURCE: &str = "redis://10.0.0.1";

/// What the flags, the environment and the file together give.
fn load(flags: &[&str], env: &[(&str, &str)], file: Option<&str>) -> Result<Config, Problems> {
    let arguments = std::iter::once("serve").chain(flags.iter().copied());
    let matches = Flags::augment_args(Command::new("serve")).get_matches_from(arguments);
    let env: BTreeMap<_, _> = env.iter().copied().collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("interlay.toml");
    if let Some(text) = file {
        fs::write(&path, text).unwrap();
    }
    let flags = Flags::from_arg_matches(&matches).unwrap();
    Config::load(flags, |name| env.get(name).map(OsString::from), file.map(|_| path.as_path()))
}

/// The problems of a file, one a line.
fn problems(file: &str) -> Vec<String> {
    let problems = load(&[], &[], Some(file)).unwrap_err();
    problems.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn source_is_the_only_key_without_a_default() {
    let config = load(&["--source", SOURCE], &[], None).unwrap();
    assert_eq!((config.listen.port(), config.admin.port(), config.source.port), (6380, 6381, 6379));
    assert_eq!((config.target, config.policy, config.state_dir), (None, Policy::SourceAuthoritative, None));
    assert_eq!((config.limits.on_lag, config.limits.repair_bytes_max), (OnLag::Fold, 16 << 20));
    assert_eq!((config.limits.max_clients, config.limits.bulk_bytes_max), (10_000, 512 << 20));
    assert_eq!(config.limits.effect_timeout, Some(Duration::from_secs(5)));
    assert_eq!((config.logging.format, config.logging.level), (LogFormat::Text, Level::INFO));
    assert!(config.tls.listener.is_none());

    assert_eq!(load(&[], &[], None).unwrap_err().0.len(), 1);
}

#[test]
fn flag_wins_over_environment_over_file_over_default() {
    let file = "source = \"redis://file\"\nmax_clients = 3\ndirty_keys_max = 3\nconnect_timeout_ms = 3";
    let env = [("INTERLAY_MAX_CLIENTS", "2"), ("INTERLAY_DIRTY_KEYS_MAX", "2")];
    let config = load(&["--max-clients", "1"], &env, Some(file)).unwrap();
    let limits = config.limits;
    assert_eq!((limits.max_clients, limits.dirty_keys_max), (1, 2));
    assert_eq!((limits.connect_timeout, limits.max_pause), (Duration::from_millis(3), Duration::from_secs(1)));
    assert_eq!(config.source.host, "file");
}

#[test]
fn empty_variable_is_an_unset_one() {
    let config = load(&["--source", SOURCE], &[("INTERLAY_MAX_CLIENTS", ""), ("INTERLAY_TARGET", "")], None).unwrap();
    assert_eq!((config.limits.max_clients, config.target), (10_000, None));
}

#[test]
fn every_problem_is_reported_at_once() {
    let file = "listen = \"nowhere\"\nsource = \"redis://app:hunter2@ho st\"\nmax_clients = 0\nbulk_bytes_max = true\n\
                log_level = \"loud\"\ntls_key = \"/nonexistent\"\nmax_client = 5";
    let problems = problems(file);
    let about = |key: &str| problems.iter().filter(|problem| problem.starts_with(&format!("{key}: "))).count();
    for key in ["listen", "source", "max_clients", "bulk_bytes_max", "log_level", "tls_key", "max_client"] {
        assert_eq!(about(key), 1, "{key} in {problems:#?}");
    }
    assert_eq!(problems.len(), 7, "{problems:#?}");
    assert!(!problems.concat().contains("hunter2"), "{problems:#?}");
}

#[test]
fn problem_names_key_value_place_and_expected_form() {
    let problems = load(&["--source", SOURCE], &[("INTERLAY_MAX_CLIENTS", "many")], None).unwrap_err();
    let expected = "max_clients: \"many\" (INTERLAY_MAX_CLIENTS) is not that; expected a number from 1 to 1000000";
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn broken_file_is_named_by_line_without_quoting_it() {
    let problems = problems("max_clients = 1\nsource = \"redis://:hunter2@host").concat();
    assert!(problems.contains("is not TOML at line 2") && !problems.contains("hunter2"), "{problems}");
}

#[test]
fn values_that_do_not_fit_together_are_refused() {
    for (file, problem) in [
        ("target = \"redis://10.0.0.1:6379\"", "target: is the source"),
        ("target = \"redis://b/1\"", "target: names another database"),
        ("policy = \"both-required\"", "policy: relies on a target"),
        ("target_read_percent = 25", "target_read_percent: nothing has proved the target in sync"),
        ("client_output_bytes_max = \"1MiB\"", "client_output_pause_bytes: has to be less"),
        ("target = \"rediss://b\"", "target_ca: has to name the CA"),
        ("on_lag = \"wait\"", "on_lag: \"wait\""),
        ("state_dir = \"/dev/null\"", "state_dir: \"/dev/null\""),
    ] {
        let problems = problems(&format!("source = \"{SOURCE}\"\n{file}"));
        assert!(problems.len() == 1 && problems[0].starts_with(problem), "{file}: {problems:#?}");
    }
}

#[test]
fn tls_is_built_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let write = |name: &str, text: String| fs::write(path(name), text).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    write("cert.pem", made.cert.pem());
    write("key.pem", made.signing_key.serialize_pem());
    write("other.pem", rcgen::KeyPair::generate().unwrap().serialize_pem());

    let (cert, key, other) = (path("cert.pem"), path("key.pem"), path("other.pem"));
    let file = format!(
        "source = \"rediss://localhost\"\nsource_ca = \"{cert}\"\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"\ntls_client_ca = \"{cert}\""
    );
    let tls = load(&[], &[], Some(&file)).unwrap().tls;
    assert!(tls.listener.is_some() && tls.sides.source.is_some() && tls.sides.target.is_none());

    let source = format!("source = \"{SOURCE}\"\n");
    for (file, problem) in [
        (format!("tls_cert = \"{cert}\"\ntls_key = \"{other}\""), "tls_cert: cannot be used"),
        (format!("tls_cert = \"{cert}\""), "tls_key: has to be given"),
        (format!("tls_key = \"{key}\""), "tls_cert: has to be given"),
        (format!("tls_client_ca = \"{cert}\""), "tls_client_ca: checks clients only"),
        (format!("source_ca = \"{cert}\""), "source_ca: has no effect"),
        (format!("tls_cert = \"{key}\""), "tls_cert: \""),
    ] {
        let problems = problems(&format!("{source}{file}"));
        assert!(problems.len() == 1 && problems[0].starts_with(problem), "{file}: {problems:#?}");
    }
}

#[test]
fn example_file_is_valid_and_has_every_key_with_its_default() {
    let example = include_str!("../../interlay.example.toml");
    load(&[], &[], Some(example)).unwrap();
    for key in keys() {
        let line = example.lines().find_map(|line| line.trim_start_matches("# ").strip_prefix(&format!("{} = ", key.name)));
        let value = line.unwrap_or_else(|| panic!("{} is missing from the example", key.name)).trim_matches('"');
        assert!(key.default.is_empty() || value == key.default, "{}: {value} is not the default {}", key.name, key.default);
    }
    // What is commented out is valid too, but for the files that it names.
    let all: String = example
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ") && !rest.contains(".pem")).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    load(&[], &[], Some(&all)).unwrap();
}
