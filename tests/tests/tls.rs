//! TLS in front of clients and towards both sides.

use std::process::Command;

use interlay_tests::{CertificateAuthority, Conn, Interlay, Launch, Load, Rng, Server, eventually, free_port, mix, output, text};

/// A server with a TLS port beside its plain one.
struct TlsServer {
    server: Server,
    url: String,
}

impl TlsServer {
    fn start(authority: &CertificateAuthority) -> Self {
        let (certificate, key) = authority.sign("server");
        let port = free_port();
        let [certificate, key, ca] = [certificate, key, authority.ca_file()].map(|path| path.display().to_string());
        let args = ["--tls-port", &port.to_string(), "--tls-cert-file", &certificate, "--tls-key-file", &key];
        let server = Server::with_args(&[&args[..], &["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"]].concat());
        Self { server, url: format!("rediss://localhost:{port}") }
    }
}

/// How to listen for TLS with a certificate of this authority.
fn listening(authority: &CertificateAuthority) -> Launch {
    let (certificate, key) = authority.sign("listener");
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    Launch::default().args(["--tls-cert", &certificate, "--tls-key", &key])
}

/// How to reach both sides over TLS, with one authority for each.
fn between(source: (&TlsServer, &CertificateAuthority), target: (&TlsServer, &CertificateAuthority), listen: Launch) -> Launch {
    let [source_ca, target_ca] = [source.1, target.1].map(|authority| authority.ca_file().display().to_string());
    listen.args(["--source", &source.0.url, "--source-ca", &source_ca, "--target", &target.0.url, "--target-ca", &target_ca])
}

/// All three legs with TLS, each with an authority of its own.
struct Scene {
    interlay: Interlay,
    source: TlsServer,
    target: TlsServer,
    clients_authority: CertificateAuthority,
    _authorities: [CertificateAuthority; 2],
}

impl Scene {
    fn start() -> Self {
        let (of_source, of_target, clients_authority) =
            (CertificateAuthority::new(), CertificateAuthority::new(), CertificateAuthority::new());
        let (source, target) = (TlsServer::start(&of_source), TlsServer::start(&of_target));
        let interlay = between((&source, &of_source), (&target, &of_target), listening(&clients_authority)).start();
        Self { interlay, source, target, clients_authority, _authorities: [of_source, of_target] }
    }

    fn conn(&self) -> Conn {
        Conn::tls_to(self.interlay.port(), &self.clients_authority)
    }

    fn assert_in_step(&self) {
        self.interlay.assert_equal(&self.source.server, &self.target.server);
        assert_eq!(self.interlay.number("mismatches"), 0);
    }
}

#[test]
fn writes_are_mirrored_with_tls_on_every_leg() {
    let mut rng = Rng::printed();
    let scene = Scene::start();
    let mut conns = [scene.conn(), scene.conn(), scene.conn()];
    for _ in 0..200 {
        let requests: Vec<_> = (0..rng.below(100)).map(|_| Conn::encode(mix::write(&mut rng))).collect();
        let conn = &mut conns[rng.below(3) as usize];
        for reply in conn.pipeline(&requests) {
            assert!(!text(&reply).contains("interlay"), "{}", text(&reply));
        }
    }
    scene.assert_in_step();
}

#[test]
fn plain_clients_are_mirrored_to_servers_with_tls() {
    let rng = Rng::printed();
    let (of_source, of_target) = (CertificateAuthority::new(), CertificateAuthority::new());
    let (source, target) = (TlsServer::start(&of_source), TlsServer::start(&of_target));
    let interlay = between((&source, &of_source), (&target, &of_target), Launch::default()).start();
    let load = Load::start(interlay.port(), 20, &rng, mix::read_or_write);
    load.go_on_for(50_000);
    load.stop_without_errors();
    interlay.assert_equal(&source.server, &target.server);
}

#[test]
fn request_that_comes_with_the_end_of_the_handshake_is_answered() {
    let scene = Scene::start();
    let mut conn = Conn::tls_with(scene.interlay.port(), &scene.clients_authority, &Conn::encode(["ECHO", "first"]));
    assert_eq!(conn.reply(), b"$5\r\nfirst\r\n");
    assert_eq!(conn.call(["ECHO", "second"]), b"$6\r\nsecond\r\n");
}

#[test]
fn requests_in_records_of_any_size_are_answered() {
    let mut rng = Rng::printed();
    let scene = Scene::start();
    let mut conn = scene.conn();
    for _ in 0..100 {
        let values: Vec<_> = (0..1 + rng.below(8)).map(|_| "x".repeat(rng.below(20_000) as usize)).collect();
        for value in &values {
            conn.request(["ECHO", value]); // a record, or two, of its own
        }
        for value in &values {
            assert_eq!(conn.reply().len(), format!("${}\r\n{value}\r\n", value.len()).len());
        }
    }
}

#[test]
fn large_value_passes_both_ways() {
    let mut rng = Rng::printed();
    let scene = Scene::start();
    let value: Vec<u8> = (0..5_000_000 / 8).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
    let mut conn = scene.conn();
    assert_eq!(conn.call([&b"SET"[..], b"k", &value]), b"+OK\r\n");
    let reply = conn.call(["GET", "k"]);
    assert!(
        reply.len() == value.len() + "$5000000\r\n\r\n".len() && reply[10..].starts_with(&value),
        "another value of {} bytes",
        reply.len()
    );
    scene.assert_in_step();
}

#[test]
fn other_implementations_of_tls_are_served() {
    let scene = Scene::start();
    let (port, ca) = (scene.interlay.port().to_string(), scene.clients_authority.ca_file().display().to_string());
    for ciphers in [["--tls-ciphers", "ECDHE+AESGCM"], ["--tls-ciphersuites", "TLS_AES_128_GCM_SHA256"]] {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "localhost", "-p", &port, "--tls", "--cacert", &ca]).args(ciphers).args(["SET", "k", "v"]);
        let said = output(&mut cli);
        assert_eq!(text(&said.stdout), "OK\\n", "{ciphers:?}: {}", text(&said.stderr));
    }
}

#[test]
fn check_and_copy_go_over_tls() {
    let (of_source, of_target) = (CertificateAuthority::new(), CertificateAuthority::new());
    let (source, target) = (TlsServer::start(&of_source), TlsServer::start(&of_target));
    source.server.call(["SET", "k", "v"]);
    let [source_ca, target_ca] = [&of_source, &of_target].map(|authority| authority.ca_file().display().to_string());
    let check = |source_ca: &str, target_ca: &str| {
        let sides = ["check", "--source", &source.url, "--target", &target.url];
        Interlay::command(&[&sides[..], &["--source-ca", source_ca, "--target-ca", target_ca]].concat())
    };
    let restored = target.server.calls_of("restore");
    let said = check(&source_ca, &target_ca);
    assert!(said.code == 0 && said.stdout.contains("\nblocking: 0, "), "{said:?}");
    assert!(target.server.calls_of("restore") > restored, "canaries were restored");
    // Either side's certificate is looked at.
    for (source_ca, target_ca) in [(&target_ca, &target_ca), (&source_ca, &source_ca)] {
        let said = check(source_ca, target_ca);
        assert!(said.code == 3 && format!("{said:?}").contains("certificate"), "{said:?}");
    }

    // The same of a process that serves, with what needs connections of its own besides.
    let interlay = between((&source, &of_source), (&target, &of_target), Launch::default()).start();
    for command in [&["check"][..], &["backfill", "--dry-run"], &["backfill", "--trial", "10"], &["backfill"], &["verify"], &["cutover"]] {
        let said = interlay.cli(command);
        assert_eq!(said.code, 0, "{said:?}");
    }
    assert_eq!(target.server.call(["GET", "k"]), b"$1\r\nv\r\n");
}

#[test]
fn source_with_a_certificate_of_another_authority_is_not_talked_to() {
    let (authority, other) = (CertificateAuthority::new(), CertificateAuthority::new());
    let (source, target) = (TlsServer::start(&authority), TlsServer::start(&authority));
    let launch = between((&source, &other), (&target, &authority), Launch::default());
    let interlay = launch.unready().expect_warnings().start();
    let last_error = || interlay.status()["source"]["last_error"].as_str().unwrap_or_default().to_owned();
    eventually("the connection is refused", || !last_error().is_empty());
    assert!(last_error().contains("certificate"), "{}", last_error());
    let reply = interlay.conn().call(["SET", "k", "v"]);
    assert!(reply.starts_with(b"-ERR interlay: source unavailable"), "{}", text(&reply));
    assert_eq!(interlay.get("/readyz").code, 503);
}

#[test]
fn client_without_tls_is_dropped_and_others_go_on() {
    let scene = Scene::start();
    let mut conn = scene.conn();
    assert_eq!(conn.call(["SET", "k", "v"]), b"+OK\r\n");
    let mut plain = scene.interlay.conn();
    plain.send("PING\r\n");
    assert!(!plain.rest().starts_with(b"+PONG"));
    assert_eq!(conn.call(["GET", "k"]), b"$1\r\nv\r\n");
    assert_eq!(scene.conn().call(["GET", "k"]), b"$1\r\nv\r\n");
}
