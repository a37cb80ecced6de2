//! `interlay serve`: two threads, one for the data plane and one for the operator.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use interlay_resp::Limits as RespLimits;
use interlay_routing::command::CommandTable;
use interlay_routing::{BySide, Catalog, DirtyLimits, LanePair, PairLimits, Side};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, LocalSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::auth::Authenticator;
use crate::check::{self, Checks, Desk};
use crate::cli::Exit;
use crate::client::{self, Doors};
use crate::clients::{ClientLimits, ClientTable};
use crate::config::Config;
use crate::control::{self, Control, Order};
use crate::dial::{self, Dialer};
use crate::endpoint::Endpoint;
use crate::events::{Events, Kind};
use crate::lane::Lane;
use crate::pinned;
use crate::plane::{Plane, Shared};
use crate::session::error_reply;
use crate::socket::Socket;
use crate::state::{Bitmap, Found, Identity, State, StateError};
use crate::watch;

/// How often the plane looks at what only time tells; the timeouts that hang on it are as exact as this.
const TICK: Duration = Duration::from_millis(20);

/// Time that the admin port has, after the data plane, to finish its answers.
const ADMIN_LINGER: Duration = Duration::from_millis(500);

/// Credentials checked by the source at once; further clients wait their turn.
const CHECKS_AT_ONCE: usize = 32;

/// Time for a client's TLS handshake.
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// Files beside the clients' sockets: two lanes, two listeners, [`CHECKS_AT_ONCE`], admin connections, standard streams.
const OTHER_FILES: u64 = 128;

/// Why `serve` ended otherwise than by a signal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {addr} ({what}): {cause}")]
    Listen {
        /// Which of the two.
        what: &'static str,
        /// The address.
        addr: SocketAddr,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// The state directory cannot be relied upon.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system refuses threads, timers or signals.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs an interlay until SIGTERM or SIGINT, then lets clients and effects under way finish.
///
/// # Errors
/// [`ServeError`], before any client was served.
pub(crate) fn run(config: Config) -> Result<(), ServeError> {
    let clients = listen("clients", config.listen)?;
    raise_file_limit(config.limits.max_clients);
    tracing::info!(listen = %clients.local_addr()?, "clients are served");
    start(config, Some(clients), |_| ())
}

/// Runs an interlay that serves no clients, for as long as `work` takes, which gets the address of its admin port. Signals are
/// that one's affair.
///
/// # Errors
/// [`ServeError`], before `work` has begun.
pub(crate) fn run_for(config: Config, work: impl FnOnce(SocketAddr) -> Exit + Send + 'static) -> Result<Exit, ServeError> {
    let (done_tx, done_rx) = std::sync::mpsc::channel();
    start(config, None, |(admin, stop)| {
        std::thread::spawn(move || {
            done_tx.send(work(admin)).ok();
            stop.cancel();
        });
    })?;
    Ok(done_rx.try_recv().unwrap_or(Exit::No))
}

/// Runs an interlay, and tells `begun` where its admin port is and how to stop it.
fn start(
    mut config: Config,
    clients: Option<std::net::TcpListener>,
    begun: impl FnOnce((SocketAddr, CancellationToken)),
) -> Result<(), ServeError> {
    let state = open_state(&mut config)?;
    let admin = listen("admin", config.admin)?;
    let admin_address = admin.local_addr()?;
    tracing::info!(
        admin = %admin_address, source = %config.source, target = config.target.as_ref().map(ToString::to_string),
        policy = %config.policy, "interlay serves",
    );
    let events = Arc::new(match &config.state_dir {
        Some(dir) => Events::open(dir)?,
        None => Events::default(),
    });
    events.note(Kind::Process, format!("version {} begins", env!("CARGO_PKG_VERSION")));
    let (control, mailbox) = control::channel();
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    let checks = check::desk(dialers(&config), config.state_dir.clone());
    let heeds_signals = clients.is_some();
    let operator = Operator { admin, heeds_signals, control, checks, events: Arc::clone(&events), state_dir: config.state_dir.clone() };
    let operator = start_operator(operator, stop.clone(), ended.clone())?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    begun((admin_address, stop.clone()));
    let served = LocalSet::new().block_on(&runtime, data_plane(config, state, clients, mailbox, events, stop));
    ended.cancel();
    // A panic there has been reported by its thread.
    operator.join().ok();
    Ok(served?)
}

fn listen(what: &'static str, addr: SocketAddr) -> Result<std::net::TcpListener, ServeError> {
    let bind = || {
        let listener = std::net::TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|cause| ServeError::Listen { what, addr, cause })
}

/// Every client is a file, and a second one if it has a connection of its own: asks the system for as many as the
/// configuration allows. Fewer than one each is worth a warning.
fn raise_file_limit(max_clients: usize) {
    let needed = max_clients as u64 + OTHER_FILES;
    match rlimit::increase_nofile_limit(needed + max_clients as u64) {
        Ok(limit) if limit < needed => tracing::warn!(limit, needed, "the system allows fewer files than max_clients needs"),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be read"),
    }
}

/// What the operator's thread has: the admin port and all that it works with.
struct Operator {
    admin: std::net::TcpListener,
    heeds_signals: bool,
    control: Control,
    checks: (Checks, Desk),
    events: Arc<Events>,
    state_dir: Option<PathBuf>,
}

/// Starts the operator's thread: the signals, which say `stop` if it heeds them, and the admin port, which lives until the data
/// plane has `ended`, so that a drain can be watched.
fn start_operator(operator: Operator, stop: CancellationToken, ended: CancellationToken) -> io::Result<std::thread::JoinHandle<()>> {
    let Operator { admin, heeds_signals, control, checks: (checks, desk), events, state_dir } = operator;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (signals, admin) = {
        let _context = runtime.enter();
        let signals = heeds_signals.then(|| Ok::<_, io::Error>((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)));
        (signals.transpose()?, TcpListener::from_std(admin)?)
    };
    std::thread::Builder::new().name("operator".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let signals = async {
                let Some((mut terminate, mut interrupt)) = signals else { return };
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    () = ended.cancelled() => return,
                }
                tracing::info!("told to stop: clients get the replies to what they have sent");
                stop.cancel();
            };
            let last_answers = async {
                ended.cancelled().await;
                tokio::time::sleep(ADMIN_LINGER).await;
            };
            tokio::select! {
                _ = async { tokio::join!(signals, admin::serve(admin, control, checks, events, state_dir, ended.clone()), desk.keep()) } => {}
                () = last_answers => {}
            }
        });
    })
}

/// Serves clients until `stop`; then lets them get the replies to what they have sent, and effects reach the secondary,
/// within a deadline.
async fn data_plane(
    config: Config,
    state: Option<(State, Bitmap, Found)>,
    listener: Option<std::net::TcpListener>,
    mut orders: mpsc::Receiver<Order>,
    events: Arc<Events>,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut listener = listener.map(TcpListener::from_std).transpose()?;
    let shutdown_timeout = config.limits.shutdown_timeout;
    let effect_timeout = config.limits.effect_timeout;
    let max_clients = config.limits.max_clients;
    let acceptor = config.tls.listener.clone().map(TlsAcceptor::from);
    let plane = build(&config, events);
    if let Some((state, bitmap, found)) = state {
        plane.borrow_mut().remember(state, bitmap, found);
    }
    let authenticator = Authenticator { at_once: Semaphore::new(CHECKS_AT_ONCE) };
    let doors = Rc::new(Doors { authenticator, own: dialers(&config) });
    if config.watch && config.target.is_some() {
        tokio::task::spawn_local(watch::keep(Rc::clone(&plane), Rc::clone(&doors)));
    }
    for lane in lanes(config) {
        tokio::task::spawn_local(lane.keep(Rc::clone(&plane)));
    }
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut deadline = None;
    let mut opening: Option<JoinHandle<()>> = None;
    let mut is_open = false;
    loop {
        is_open |= plane.borrow().knows_authority();
        tokio::select! {
            accepted = accept(listener.as_ref().filter(|_| is_open)) => match accepted {
                Ok(tcp) => {
                    tokio::task::spawn_local(welcome(Rc::clone(&plane), tcp, acceptor.clone(), Rc::clone(&doors), max_clients));
                }
                // Out of files, or a client that left at once: the next one may do better, but not without a breath.
                Err(error) => {
                    tracing::warn!(%error, "a client could not be accepted");
                    tokio::time::sleep(TICK).await;
                }
            },
            Some(order) = orders.recv() => plane.borrow_mut().obey(order),
            now = tick.tick() => {
                let wants_spare = plane.borrow_mut().tick(now.into_std(), effect_timeout);
                if wants_spare && opening.as_ref().is_none_or(JoinHandle::is_finished) {
                    opening = Some(tokio::task::spawn_local(pinned::open_spare(Rc::clone(&plane), Rc::clone(&doors))));
                }
                if deadline.is_some_and(|deadline| is_drained(&plane.borrow(), deadline)) {
                    plane.borrow_mut().close_memory();
                    return Ok(());
                }
            }
            () = stop.cancelled(), if deadline.is_none() => {
                listener = None;
                deadline = Some(Instant::now() + shutdown_timeout);
                plane.borrow_mut().clients.stop();
            }
        }
    }
}

/// The ways to both sides.
fn dialers(config: &Config) -> BySide<Option<Dialer>> {
    let dialer = |endpoint: &Endpoint, side: Side| Dialer {
        endpoint: endpoint.clone(),
        tls: config.tls.sides[side].clone(),
        timeout: config.limits.connect_timeout,
    };
    let target = config.target.as_ref().map(|target| dialer(target, Side::Target));
    BySide { source: Some(dialer(&config.source, Side::Source)), target }
}

/// Opens the state directory, if there is one. The policy that was in force goes before the configuration's: the authority
/// has the newest data.
fn open_state(config: &mut Config) -> Result<Option<(State, Bitmap, Found)>, StateError> {
    let Some(dir) = &config.state_dir else { return Ok(None) };
    let target = config.target.as_ref().map(|target| target.address());
    let identity = Identity { source: config.source.address(), target, policy: config.policy };
    let opened = State::open(dir, &identity)?;
    if let Found::Left(left) = &opened.2
        && left.standing.policy != config.policy
    {
        tracing::warn!(configured = %config.policy, in_force = %left.standing.policy, "the policy of the state directory goes on; `interlay policy` changes it");
        config.policy = left.standing.policy;
    }
    Ok(Some(opened))
}

/// The next client; never, while there is no listener.
async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(tcp, _)| tcp),
        None => std::future::pending().await,
    }
}

fn build(config: &Config, events: Arc<Events>) -> Shared {
    let limits = &config.limits;
    let resp = RespLimits { bulk_bytes_max: limits.bulk_bytes_max, ..RespLimits::default() };
    let pair_limits = PairLimits {
        authority_backlog_bytes_max: limits.authority_backlog_bytes_max,
        effect_queue_bytes_max: limits.effect_queue_bytes_max,
        on_lag: limits.on_lag,
        copies_bytes_max: limits.repair_bytes_max as u64,
        chunk_from_bytes: limits.repair_chunk_from_bytes as u64,
        deadlines_bytes_max: limits.deadlines_bytes_max,
        dirty: DirtyLimits { keys_max: limits.dirty_keys_max, bytes_max: limits.dirty_bytes_max },
        resp: RespLimits::of_replies(),
    };
    let catalog = Arc::new(Catalog::new(CommandTable::builtin()));
    let pair = LanePair::new(catalog, config.policy, config.target.is_some(), pair_limits);
    let clients = ClientTable::new(
        ClientLimits { output_bytes_max: limits.client_output_bytes_max, output_pause_bytes: limits.client_output_pause_bytes },
        config.source.db,
        // Until the source has told: a lane that needs a password is not for everybody.
        config.source.password.is_some(),
    );
    let addresses =
        BySide { source: config.source.address(), target: config.target.as_ref().map(|target| target.address()).unwrap_or_default() };
    let lane_user = config.source.user.clone().unwrap_or_else(|| "default".to_owned());
    Rc::new(RefCell::new(Plane::new(pair, clients, addresses, lane_user, resp, limits.max_pause, events)))
}

fn lanes(config: Config) -> impl Iterator<Item = Lane> {
    let Config { source, target, limits, tls, .. } = config;
    [(Side::Source, Some(source)), (Side::Target, target)].into_iter().filter_map(move |(side, endpoint)| {
        Some(Lane {
            side,
            endpoint: endpoint?,
            tls: tls.sides[side].clone(),
            connect_timeout: limits.connect_timeout,
            backoff_max: limits.reconnect_backoff_max,
            effect_timeout: limits.effect_timeout,
        })
    })
}

/// Takes a new connection through its first steps and serves it.
async fn welcome(plane: Shared, tcp: TcpStream, acceptor: Option<TlsAcceptor>, doors: Rc<Doors>, max_clients: usize) {
    if plane.borrow().clients.len() >= max_clients {
        // Best effort, as in Redis: the socket of a new connection takes a line. A TLS client sees the end of it.
        if acceptor.is_none() {
            tcp.try_write(&error_reply("ERR max number of clients reached")).ok();
        }
        return;
    }
    plane.borrow_mut().clients.arriving += 1;
    // The state of a handshake is large, and goes with it.
    let socket = Box::pin(greet(tcp, acceptor)).await;
    plane.borrow_mut().clients.arriving -= 1;
    match socket {
        Ok(socket) => client::serve(plane, socket, doors).await,
        Err(error) => tracing::debug!(%error, "a client did not get past its first steps"),
    }
}

/// Makes a connection a client's socket.
async fn greet(tcp: TcpStream, acceptor: Option<TlsAcceptor>) -> io::Result<Socket> {
    dial::tune(&tcp)?;
    let Some(acceptor) = acceptor else { return Ok(Socket::plain(tcp)) };
    let (tcp, connection) = tokio::time::timeout(TLS_HANDSHAKE, acceptor.accept(tcp)).await??.into_inner();
    Ok(Socket::tls(tcp, connection))
}

/// Whether there is nothing left to wait for, or no time.
fn is_drained(plane: &Plane, deadline: Instant) -> bool {
    let (clients, effects) = (plane.clients.len(), plane.pair.unanswered(!plane.pair.authority()).0);
    if (clients > 0 || effects > 0) && Instant::now() < deadline {
        return false;
    }
    let differ = effects > 0 || !plane.pair.dirty().is_settled() || plane.pair.is_suspect();
    if differ && plane.has_memory() {
        tracing::warn!(clients, effects, "stopped while the sides differ: the state directory says where");
    } else if differ {
        tracing::warn!(clients, effects, "stopped while the sides differ, and nothing remembers where: see --state-dir");
    } else {
        tracing::info!(clients, "stopped");
    }
    true
}
