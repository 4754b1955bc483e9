//! A server on an embedded database with a few users: `ann` is verified, labelled and a developer of team red, `bob` is
//! nothing of that.

use std::path::Path;

use serde_json::{Value, json};

use crate::node::{Client, Node, realtime};

/// The ways for a client to come in.
pub(crate) const TRANSPORTS: [&str; 2] = ["websocket", "sse"];

/// The server, its database, and a key to publish with.
pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) node: Node,
    pub(crate) key: String,
}

/// What the server answers to a backend.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

impl World {
    /// A server that is started with these arguments.
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| realtime(folder.path(), arguments);
        run(&["project", "create", "--id", "shop"]);
        run(&["project", "create", "--id", "other"]);
        run(&["team", "create", "--project", "shop", "--id", "red"]);
        run(&["user", "create", "--project", "shop", "--id", "ann", "--verified", "--label", "vip"]);
        run(&["user", "create", "--project", "shop", "--id", "bob"]);
        run(&["team", "add-member", "--project", "shop", "--team", "red", "--user", "ann", "--role", "dev"]);
        run(&["platform", "create", "--project", "shop", "--hostname", "*.example.com"]);
        let key = text(&run(&["key", "create", "--project", "shop"])["secret"]);
        let node = Node::start(folder.path(), arguments, &[("_APP_ENV", "development")]);
        Self { folder, node, key }
    }

    /// Runs a command on the project's data.
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        realtime(self.folder(), &[arguments, &["--project", "shop"]].concat())
    }

    pub(crate) fn session(&self, user: &str) -> String {
        text(&self.run(&["session", "create", "--user", user])["token"])
    }

    pub(crate) fn jwt(&self, user: &str) -> String {
        text(&realtime(self.folder(), &["token", "create", "--user", user])["token"])
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn publish(&self, event: &Value) -> (u16, String) {
        self.node.publish("shop", &self.key, event)
    }

    /// Publishes what the server has to take.
    pub(crate) fn must_publish(&self, event: &Value) {
        let (status, body) = self.publish(event);
        assert_eq!(status, 200, "{body}");
    }

    /// One event for each role, then one for all; in one batch, so that they come in order.
    pub(crate) fn publish_for(&self, roles: &[&str]) {
        let mut events: Vec<Value> = roles.iter().map(|role| event(role, role)).collect();
        events.push(event("any", "fence"));
        self.must_publish(&json!(events));
    }

    /// Publishes with these headers alone.
    pub(crate) fn post(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.post(format!("http://{}/v1/realtime/events", self.node.address()));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut answer = request.send(body).expect("it answers");
        let header = |name| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        Answer {
            status: answer.status().as_u16(),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after"),
            body: answer.body_mut().read_to_string().expect("a readable body"),
        }
    }

    /// A client by either transport, who has been told that it is connected.
    pub(crate) fn connect(&self, transport: &str, query: &str, headers: &[(&str, &str)]) -> Client {
        let mut client = self.open(transport, query, headers);
        client.expect("connected");
        client
    }

    /// A client by either transport, who has been told nothing yet.
    pub(crate) fn open(&self, transport: &str, query: &str, headers: &[(&str, &str)]) -> Client {
        let query = format!("project=shop&channels[]=documents{query}");
        match transport {
            "websocket" => self.node.connect(&query, headers),
            _ => self.node.stream(&query, headers),
        }
    }

    /// Nobody is let in who comes so: an error with this code and text, then a close with that code.
    pub(crate) fn refuses(
        &self,
        transport: &str,
        query: &str,
        headers: &[(&str, &str)],
        (code, text, close): (u16, &str, u16),
    ) {
        let mut client = self.open(transport, query, headers);
        let error = client.expect("error");
        let whom = format!("{query} {headers:?} over {transport}: {error}");
        assert_eq!(error["data"]["code"], code, "{whom}");
        assert_eq!(error["data"]["message"], text, "{whom}");
        client.must_be_closed(close);
    }
}

/// The text of a JSON string.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text in {value}")).to_owned()
}

/// An event for a role, with an id to know it by.
pub(crate) fn event(role: &str, id: &str) -> Value {
    json!({ "channels": ["documents"], "roles": [role], "events": ["x.y"], "payload": { "$id": id } })
}
