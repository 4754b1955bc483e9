//! As much of a MongoDB server as the directory asks of one, so that the real driver can be heard. It is no MongoDB:
//! what it takes for the rules is what the tests may prove.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mongodb::bson::{Bson, DateTime, Document, deserialize_from_slice, doc, serialize_to_vec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Collections by name.
pub(super) type Collections = BTreeMap<String, Vec<Document>>;

/// A server on a port of its own, for as long as the test runs.
pub(super) struct Fake {
    pub(super) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    collections: Collections,
    /// What is there again should the transaction be aborted.
    before: Option<Collections>,
}

impl Fake {
    pub(super) async fn start(collections: Collections) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { collections, before: None }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    pub(super) fn documents(&self, collection: &str) -> Vec<Document> {
        self.state.lock().unwrap().collections.get(collection).cloned().unwrap_or_default()
    }
}

/// Answers one message after the other (MongoDB wire protocol: `OP_MSG`, and `OP_QUERY` of a first greeting).
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = [0; 16];
    while stream.read_exact(&mut head).await.is_ok() {
        let number = |at: usize| i32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        let mut body = vec![0; usize::try_from(number(0)).unwrap() - head.len()];
        stream.read_exact(&mut body).await.unwrap();
        let is_query = number(12) == 2004;
        let command = if is_query { query(&body) } else { message(&body) };
        let answer = serialize_to_vec(&state.lock().unwrap().answer(&command)).unwrap();
        // A reply has flags, a cursor's id, a position and a count before its document; a message flags and a kind.
        let (code, before) =
            if is_query { (1, [&[0_u8; 16][..], &[1, 0, 0, 0]].concat()) } else { (2013, vec![0; 5]) };
        let length = i32::try_from(head.len() + before.len() + answer.len()).unwrap();
        let mut reply: Vec<u8> =
            [length, 0, number(4), code].into_iter().flat_map(i32::to_le_bytes).collect();
        reply.extend(before);
        reply.extend(answer);
        stream.write_all(&reply).await.unwrap();
    }
}

fn query(body: &[u8]) -> Document {
    let name_ends = 4 + body[4..].iter().position(|&byte| byte == 0).unwrap();
    deserialize_from_slice(&body[name_ends + 1 + 8..]).unwrap()
}

/// The command of a message, with its sequences of documents as arrays of it.
fn message(body: &[u8]) -> Document {
    let (mut command, mut sequences) = (Document::new(), Vec::new());
    let mut at = 4;
    while at < body.len() {
        let kind = body[at];
        let length = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
        let section = &body[at + 1..at + 1 + length(at + 1)];
        at += 1 + section.len();
        if kind == 0 {
            command = deserialize_from_slice(section).unwrap();
            continue;
        }
        let name_ends = 4 + section[4..].iter().position(|&byte| byte == 0).unwrap();
        let (mut documents, mut at) = (Vec::new(), name_ends + 1);
        while at < section.len() {
            let length = u32::from_le_bytes(section[at..at + 4].try_into().unwrap()) as usize;
            documents.push(Bson::Document(deserialize_from_slice(&section[at..at + length]).unwrap()));
            at += length;
        }
        sequences.push((String::from_utf8(section[4..name_ends].to_vec()).unwrap(), Bson::Array(documents)));
    }
    command.extend(sequences);
    command
}

impl State {
    fn answer(&mut self, command: &Document) -> Document {
        if command.get_bool("startTransaction").unwrap_or(false) {
            self.before = Some(self.collections.clone());
        }
        let (name, subject) = command.iter().next().unwrap();
        let collection = subject.as_str().unwrap_or_default();
        match name.as_str() {
            "hello" | "isMaster" | "ismaster" => doc! {
                "ok": 1, "helloOk": true, "isWritablePrimary": true, "ismaster": true, "setName": "rs0",
                "hosts": ["localhost"], "minWireVersion": 0, "maxWireVersion": 21, "maxBsonObjectSize": 16_777_216,
                "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "logicalSessionTimeoutMinutes": 30,
            },
            "find" => {
                let matching = filter(command.get_document("filter").ok());
                let mut found: Vec<Document> = self
                    .collection(collection)
                    .iter()
                    .filter(|document| matching(document))
                    .cloned()
                    .collect();
                found.sort_by_key(|document| document.get_str("_id").unwrap_or_default().to_owned());
                if let Ok(projection) = command.get_document("projection") {
                    for document in &mut found {
                        let is_asked = |field: &str| field == "_id" || projection.contains_key(field);
                        *document = std::mem::take(document)
                            .into_iter()
                            .filter(|(field, _)| is_asked(field))
                            .collect();
                    }
                }
                doc! { "ok": 1, "cursor": { "id": 0_i64, "ns": format!("db.{collection}"), "firstBatch": found } }
            }
            "insert" => {
                for document in documents(command, "documents") {
                    let is_same = |other: &Document| {
                        ["_id", "_uid", "userId"].iter().any(|unique| {
                            document.contains_key(unique) && document.get(unique) == other.get(unique)
                        })
                    };
                    if self.collection(collection).iter().any(is_same) {
                        let error =
                            doc! { "index": 0, "code": 11_000, "errmsg": "E11000 duplicate key error" };
                        return doc! { "ok": 1, "n": 0, "writeErrors": [error] };
                    }
                    self.collection(collection).push(document);
                }
                doc! { "ok": 1, "n": 1 }
            }
            "update" => {
                let update = documents(command, "updates").remove(0);
                let (query, change) = (update.get_document("q").unwrap(), update.get_document("u").unwrap());
                let matching = filter(Some(query));
                let mut found = 0;
                for document in self.collection(collection).iter_mut().filter(|document| matching(document)) {
                    apply(change, document);
                    found += 1;
                }
                if found == 0 && update.get_bool("upsert").unwrap_or(false) {
                    let mut document = query.clone();
                    document.extend(change.get_document("$setOnInsert").unwrap().clone());
                    apply(change, &mut document);
                    self.collection(collection).push(document);
                }
                doc! { "ok": 1, "n": found, "nModified": found }
            }
            "delete" => {
                let delete = documents(command, "deletes").remove(0);
                let matching = filter(delete.get_document("q").ok());
                let before = self.collection(collection).len();
                self.collection(collection).retain(|document| !matching(document));
                let gone = before - self.collection(collection).len();
                doc! { "ok": 1, "n": i32::try_from(gone).unwrap() }
            }
            "abortTransaction" => {
                self.collections = self.before.take().unwrap();
                doc! { "ok": 1 }
            }
            "commitTransaction" => {
                self.before = None;
                doc! { "ok": 1 }
            }
            "endSessions" | "ping" => doc! { "ok": 1 },
            other => doc! { "ok": 0, "code": 59, "errmsg": format!("no such command: {other}") },
        }
    }

    fn collection(&mut self, name: &str) -> &mut Vec<Document> {
        self.collections.entry(name.to_owned()).or_default()
    }
}

fn documents(command: &Document, field: &str) -> Vec<Document> {
    command.get_array(field).unwrap().iter().map(|value| value.as_document().unwrap().clone()).collect()
}

/// Whether a document is equal in each of these fields, or earlier. An expression lets everything through.
fn filter(query: Option<&Document>) -> impl Fn(&Document) -> bool + use<> {
    let query = query.cloned().unwrap_or_default();
    move |document| {
        query.iter().all(|(field, wanted)| match wanted.as_document() {
            Some(_) if field == "$expr" => true,
            Some(bound) => {
                document.get_datetime(field).is_ok_and(|moment| *moment < *bound.get_datetime("$lt").unwrap())
            }
            None => document.get(field) == Some(wanted),
        })
    }
}

fn apply(change: &Document, document: &mut Document) {
    let part = |name: &str| change.get_document(name).cloned().unwrap_or_default();
    document.extend(part("$set"));
    document.extend(part("$currentDate").keys().map(|field| (field.clone(), DateTime::now().into())));
    for field in part("$unset").keys() {
        document.remove(field);
    }
}
