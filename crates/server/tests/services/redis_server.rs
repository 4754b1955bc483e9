//! A `redis-server` of the test's own, several with sentinels, or a cluster: on free ports, killed when the test ends.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::node::{PATIENCE, signal};

/// The socket of a server in its folder.
const SOCKET: &str = "redis.sock";

/// What has a Redis speak TLS on its port and nothing else, with its neighbours too. They take each other's certificate
/// for an authority, as it is one for all.
pub(crate) fn tls(certificate: &Certificate) -> [&str; 12] {
    [
        "--tls-cert-file",
        certificate.chain(),
        "--tls-key-file",
        certificate.key(),
        "--tls-ca-cert-file",
        certificate.chain(),
        "--tls-auth-clients",
        "no",
        "--tls-replication",
        "yes",
        "--tls-cluster",
        "yes",
    ]
}

/// A running Redis. The test itself asks it over a socket in its folder, which is plain whatever its port is.
pub(crate) struct Redis {
    child: Child,
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts one on a free port.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = run(&folder, port, &arguments);
        Self { child, folder, port, arguments }
    }

    /// Its port.
    pub(crate) fn port(&self) -> String {
        self.port.to_string()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where the other servers of its cluster reach it.
    fn cluster_port(&self) -> &str {
        let place = self.arguments.iter().position(|argument| argument == "--cluster-port");
        &self.arguments[place.expect("it is in a cluster") + 1]
    }

    /// Makes it known to another server of its cluster.
    fn meet(&self, other: &Self) {
        let (port, bus_port) = (other.port(), other.cluster_port());
        self.command(&[b"CLUSTER", b"MEET", b"127.0.0.1", port.as_bytes(), bus_port.as_bytes()]);
    }

    /// Lets it hang.
    pub(crate) fn pause(&self) {
        signal(&self.child, "STOP");
    }

    /// Lets it go on after [`Self::pause`].
    pub(crate) fn go_on(&self) {
        signal(&self.child, "CONT");
    }

    /// Kills it; the port stays its own.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn restart(&mut self) {
        self.child = run(&self.folder, self.port, &self.arguments);
    }

    /// Sends a command and gives what is answered.
    pub(crate) fn command(&self, words: &[&[u8]]) -> String {
        ask(&self.folder, words).expect("it answers")
    }

    /// The same, signed in with a password.
    pub(crate) fn ask_as(&self, password: &str, words: &[&[u8]]) -> String {
        let mut stream = connect(&self.folder).expect("it listens");
        stream.write_all(&request(&[b"AUTH", password.as_bytes()])).expect("it listens");
        stream.write_all(&request(words)).expect("it listens");
        stream.shutdown(std::net::Shutdown::Write).expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer.trim_start_matches("+OK\r\n").to_owned()
    }

    /// Sends a command and waits for nothing.
    pub(crate) fn send(&self, words: &[&[u8]]) {
        let mut stream = connect(&self.folder).expect("it listens");
        stream.write_all(&request(words)).expect("it listens");
        // What was sent is read before the end of the connection.
        stream.shutdown(std::net::Shutdown::Write).expect("it listens");
    }

    /// A connection to publish much on.
    pub(crate) fn publisher(&self) -> Publisher {
        Publisher(connect(&self.folder).expect("it listens"))
    }

    /// Publishes as Appwrite does; how many subscriptions took it.
    pub(crate) fn publish(&self, message: &str) -> usize {
        let answer = self.command(&[b"PUBLISH", b"realtime", message.as_bytes()]);
        answer.trim_start_matches(':').trim().parse().unwrap_or_else(|_| panic!("it said {answer}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A master, its replica, and three sentinels that promote the replica if two of them miss the master.
pub(crate) struct Sentinels {
    /// The first is the master at the beginning.
    pub(crate) servers: [Redis; 2],
    sentinels: Vec<Redis>,
}

impl Sentinels {
    /// Starts them; the servers have this password, and the sentinels another one.
    pub(crate) fn start(password: &str, sentinel_password: &str) -> Self {
        Self::start_with(password, sentinel_password, &[])
    }

    /// The same with more arguments for all five.
    pub(crate) fn start_with(password: &str, sentinel_password: &str, more: &[&str]) -> Self {
        let own = ["--requirepass", password, "--masterauth", password];
        let master = Redis::start(&[&own[..], more].concat());
        let of = format!("127.0.0.1 {}", master.port);
        let replica = Redis::start(&[&own[..], &["--replicaof", &of], more].concat());
        let sentinel = |_| {
            let port = free_port();
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("sentinel.conf");
            let settings = format!(
                "requirepass {sentinel_password}\nsentinel sentinel-pass {sentinel_password}\n\
                 sentinel monitor events 127.0.0.1 {} 2\nsentinel auth-pass events {password}\n\
                 sentinel down-after-milliseconds events 1000\nsentinel failover-timeout events 3000\n",
                master.port
            );
            std::fs::write(&file, settings).expect("a file");
            let file = file.to_str().expect("a path").to_owned();
            let arguments = [&[file.as_str(), "--sentinel"], more].concat();
            let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
            Redis { child: run_with(&folder, port, &[], &arguments), folder, port, arguments }
        };
        let sentinels: Vec<Redis> = (0..3).map(sentinel).collect();
        let sentinels = Self { servers: [master, replica], sentinels };
        wait(|| {
            sentinels.sentinels.iter().all(|sentinel| {
                let known = sentinel.ask_as(sentinel_password, &[b"SENTINEL", b"MASTER", b"events"]);
                let says = |name: &str, number: &str| known.contains(&format!("{name}\r\n$1\r\n{number}"));
                says("num-slaves", "1") && says("num-other-sentinels", "2")
            })
        });
        // A replica without the data is not promoted.
        wait(|| {
            let state = sentinels.servers[1].ask_as(password, &[b"INFO", b"replication"]);
            state.contains("master_link_status:up")
        });
        sentinels
    }

    /// Where the sentinels listen, as the setting has it.
    pub(crate) fn addresses(&self) -> String {
        addresses(&self.sentinels)
    }
}

/// Servers that share the slots.
pub(crate) struct Cluster {
    /// The masters at the beginning.
    pub(crate) servers: Vec<Redis>,
    /// One of each, or none.
    pub(crate) replicas: Vec<Redis>,
}

impl Cluster {
    /// Three of them, which have a third of the slots each.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let servers: Vec<Redis> = (0..3).map(|_| Self::server(arguments)).collect();
        for (server, (first, last)) in servers.iter().zip([(0, 5_460), (5_461, 10_922), (10_923, 16_383)]) {
            let (first, last): (String, String) = (first.to_string(), last.to_string());
            server.command(&[b"CLUSTER", b"ADDSLOTSRANGE", first.as_bytes(), last.as_bytes()]);
            server.meet(&servers[0]);
        }
        let cluster = Self { servers, replicas: Vec::new() };
        cluster.wait_until_whole();
        cluster
    }

    /// The same, and a replica of each.
    pub(crate) fn start_with_replicas() -> Self {
        let mut cluster = Self::start(&[]);
        cluster.replicas = (0..3).map(|_| Self::server(&[])).collect();
        cluster.replicas.iter().for_each(|replica| replica.meet(&cluster.servers[0]));
        cluster.wait_until_whole();
        for (replica, master) in cluster.replicas.iter().zip(&cluster.servers) {
            let id = master.command(&[b"CLUSTER", b"MYID"]);
            let id = id.lines().nth(1).expect("it has one");
            wait(|| replica.command(&[b"CLUSTER", b"REPLICATE", id.as_bytes()]).starts_with("+OK"));
            // A replica without the data is not promoted.
            wait(|| replica.command(&[b"INFO", b"replication"]).contains("master_link_status:up"));
        }
        // Nor is one that the others do not know as such.
        let slaves = |server: &Redis| server.command(&[b"CLUSTER", b"NODES"]).matches("slave").count();
        wait(|| cluster.servers.iter().all(|server| slaves(server) == 3));
        cluster
    }

    fn server(arguments: &[&str]) -> Redis {
        let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port"];
        // The usual one is 10,000 above the server's, where anybody may be.
        Redis::start(&[&cluster[..], &[&free_port().to_string()], arguments].concat())
    }

    /// Waits until every server sees that all slots are served.
    pub(crate) fn wait_until_whole(&self) {
        let known = format!("cluster_known_nodes:{}", self.servers.len() + self.replicas.len());
        wait(|| {
            self.servers.iter().chain(&self.replicas).all(|server| {
                let state = server.command(&[b"CLUSTER", b"INFO"]);
                state.contains("cluster_state:ok") && state.contains(&known)
            })
        });
    }

    /// Which of the servers has the slot of a key or of a sharded channel.
    pub(crate) fn owner(&self, key: &str) -> usize {
        let slot = self.servers[0].command(&[b"CLUSTER", b"KEYSLOT", key.as_bytes()]);
        let slot: usize = slot.trim_start_matches(':').trim().parse().expect("a number");
        [5_461, 10_923].iter().filter(|first| slot >= **first).count()
    }

    /// Where they listen, as the setting has it.
    pub(crate) fn addresses(&self) -> String {
        addresses(&self.servers)
    }
}

fn addresses(servers: &[Redis]) -> String {
    servers.iter().map(Redis::address).collect::<Vec<_>>().join(",")
}

fn wait(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "the servers do not find each other");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A connection to publish much on.
pub(crate) struct Publisher(UnixStream);

impl Publisher {
    /// Publishes, and waits until Redis has taken it.
    pub(crate) fn publish(&mut self, message: &str) {
        self.0.write_all(&request(&[b"PUBLISH", b"realtime", message.as_bytes()])).expect("it listens");
        let mut answer = [0; 64];
        let length = self.0.read(&mut answer).expect("it answers");
        assert_eq!(answer.first(), Some(&b':'), "{}", String::from_utf8_lossy(&answer[..length]));
    }
}

fn run(folder: &TempDir, port: u16, arguments: &[String]) -> Child {
    run_with(folder, port, &["--save", "", "--appendonly", "no"], arguments)
}

fn run_with(folder: &TempDir, port: u16, usual: &[&str], arguments: &[String]) -> Child {
    // A file of settings comes first, or it is not taken for one.
    let (file, arguments) =
        arguments.split_at(arguments.iter().take_while(|it| !it.starts_with("--")).count());
    let port = port.to_string();
    let speaks_tls = arguments.iter().any(|argument| argument == "--tls-cert-file");
    let (plain, encrypted) = if speaks_tls { ("0", port.as_str()) } else { (port.as_str(), "0") };
    let mut child = Command::new("redis-server")
        .args(file)
        .args(["--bind", "127.0.0.1", "--port", plain, "--tls-port", encrypted, "--unixsocket", SOCKET])
        .args(usual)
        .args(arguments)
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed: `cargo xtask test` installs what the tests need");
    let deadline = Instant::now() + PATIENCE;
    while ask(folder, &[b"PING"]).is_none() {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none() && Instant::now() < deadline, "redis-server does not answer: {ended:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn connect(folder: &TempDir) -> std::io::Result<UnixStream> {
    UnixStream::connect(folder.path().join(SOCKET))
}

/// One command on a connection of its own. Any answer is one, a refusal included.
fn ask(folder: &TempDir, words: &[&[u8]]) -> Option<String> {
    let mut stream = connect(folder).ok()?;
    stream.write_all(&request(words)).ok()?;
    let mut answer = [0; 8 * 1024];
    let length = stream.read(&mut answer).ok().filter(|length| *length > 0)?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n", word.len()).into_bytes());
        request.extend(*word);
        request.extend(b"\r\n");
    }
    request
}

/// A port that nobody uses at the moment, and that nobody gets by chance: it is below those that systems hand out, and
/// each test process begins to look at another place.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 15_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    loop {
        let offset = start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("it is below 30,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
