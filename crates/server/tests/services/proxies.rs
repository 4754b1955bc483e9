//! The proxy configurations of `deploy/proxy`, each with the real proxy.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::node::{Client, Node, PATIENCE, realtime};
use crate::redis_server::free_port;

/// A proxy that is killed when the test ends.
struct Proxy {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Told first: nginx's worker ends with its master. Caddy would wait long for connections to end.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        let deadline = Instant::now() + Duration::from_secs(1);
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts a proxy in front of a node, with the configuration of the repository but for the addresses.
fn start(
    file: &str,
    listens: &str,
    node: &Node,
    command: impl Fn(&Path, &str) -> (Command, String),
) -> Proxy {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/proxy").join(file);
    let address = format!("127.0.0.1:{}", free_port());
    let port = address.rsplit(':').next().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("127.0.0.1:8080") && text.contains(listens), "{file} has other addresses");
    let text = text.replace("127.0.0.1:8080", node.address()).replace(listens, &listens.replace("80", port));
    let (mut command, text) = command(folder.path(), &text);
    std::fs::write(folder.path().join(file), text).unwrap();
    let child = command
        .env("HOME", folder.path())
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the proxy is installed: `cargo xtask test` installs what the tests need");
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < deadline, "the proxy does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    Proxy { child, address, _folder: folder }
}

/// Both transports deliver through the proxy at once, and the server learns the client's address from the proxy alone.
fn serves(start: impl Fn(&Node) -> Proxy) {
    let folder = tempfile::tempdir().unwrap();
    realtime(folder.path(), &["project", "create", "--id", "shop"]);
    let made = realtime(folder.path(), &["key", "create", "--project", "shop"]);
    let key = made["secret"].as_str().unwrap();
    let node = Node::start(folder.path(), &["--log-level", "debug"], &[]);
    let proxy = start(&node);
    let query = "project=shop&channels[]=documents";
    let forged = [("x-forwarded-for", "203.0.113.66")];
    let mut clients = [
        Client::websocket(&proxy.address, query, &forged),
        Client::event_stream(&proxy.address, query, &forged),
    ];
    for client in &mut clients {
        client.expect("connected");
    }
    for id in ["a", "b"] {
        let event = json!({ "channels": ["documents"], "roles": ["any"], "events": ["x.y"], "payload": { "$id": id } });
        assert_eq!(node.publish("shop", key, &event).0, 200);
        for client in &mut clients {
            assert_eq!(client.expect("event")["data"]["payload"]["$id"], id);
        }
    }
    clients[0].say(&json!({ "type": "subscribe", "data": [{ "channels": ["files"] }] }));
    clients[0].expect("response");
    node.wait_for_log("connection opened");
    let log = node.log();
    assert!(!log.contains("203.0.113.66"), "{log}");
}

#[test]
fn nginx_passes_both_transports_on() {
    serves(|node| {
        start("nginx.conf", "listen 80;", node, |folder, text| {
            let mut command = Command::new("/usr/sbin/nginx");
            command.args(["-p", folder.to_str().unwrap(), "-c", "nginx.conf", "-e", "error.log"]);
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {kind};"))
                .concat();
            let whole = format!(
                "daemon off; worker_processes 1; pid nginx.pid; events {{}}\nhttp {{ access_log off; {temporary}\n{text}\n}}"
            );
            (command, whole)
        })
    });
}

#[test]
fn caddy_passes_both_transports_on() {
    serves(|node| {
        start("Caddyfile", ":80 {", node, |_, text| {
            let mut command = Command::new("caddy");
            command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]);
            (command, format!("{{\n admin off\n auto_https off\n}}\n{text}"))
        })
    });
}

#[test]
fn haproxy_passes_both_transports_on() {
    serves(|node| {
        start("haproxy.cfg", "bind :80", node, |_, text| {
            let mut command = Command::new("/usr/sbin/haproxy");
            command.args(["-db", "-f", "haproxy.cfg"]);
            (command, text.to_owned())
        })
    });
}
