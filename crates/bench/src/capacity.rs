//! What an operator sizes a server by, computed from what was measured: memory and files by connections, processor time by
//! deliveries and connects.

use serde_json::Value;

use crate::report::{Table, bytes};

/// Connections for which memory and files are told.
const SIZES: [usize; 4] = [1_000, 10_000, 50_000, 100_000];
/// Files beside those of connections: listeners, databases, the bus, the log.
const OTHER_FILES: usize = 500;

/// A page of tables; `None` if something that they need was not measured.
pub(crate) fn page(idle: &Value, fanout: &Value, connect: &Value) -> Option<String> {
    let number = |json: &Value, pointer: &str| json.pointer(pointer).and_then(Value::as_f64);
    let each = number(idle, "/bytes_per_connection")?;
    let further = number(idle, "/bytes_per_further_subscription")?;
    let looks = idle.get("rows")?.as_array()?;
    // Of both ends; the client's is elsewhere.
    let kernel = number(looks.last()?, "/kernel_bytes_per_connection")? / 2.0;
    let (base, at) = (number(looks.first()?, "/server_bytes")?, number(looks.first()?, "/connections")?);
    let empty = (base - at * each).max(0.0);
    let mut memory = Table::new(&["connections", "memory of the server", "of the kernel", "open files"]);
    for size in SIZES {
        let megabytes = |bytes: f64| format!("{:.0} MB", bytes / 1e6);
        memory.row([
            size.to_string(),
            megabytes(empty + size as f64 * each),
            megabytes(size as f64 * kernel),
            (size + OTHER_FILES).to_string(),
        ]);
    }
    let own = fanout
        .get("servers")?
        .as_array()?
        .iter()
        .find(|server| server.get("server").and_then(Value::as_str) == Some("realtime"))?;
    let mut work = Table::new(&["a second of one core is enough for", ""]);
    let mut row = |name: String, nanoseconds: Option<f64>| {
        if let Some(nanoseconds) = nanoseconds {
            work.row([name, format!("{:.0}", 1e9 / nanoseconds)]);
        }
    };
    row("deliveries, one event at a time".to_owned(), number(own, "/paced_ns/median"));
    row("deliveries, many events at once".to_owned(), number(own, "/at_once_ns/median"));
    for way in connect.get("rows")?.as_array()? {
        let who = way.get("who").and_then(Value::as_str).unwrap_or_default();
        row(format!("connects: {who}"), number(way, "/connect_ns/median"));
    }
    Some(format!(
        "A connection with one subscription takes {} of the server (PSS) and {} of the kernel, each further subscription {}. \
         Without connections the server takes {:.0} MB.\n\n{}\n{}",
        bytes(each),
        bytes(kernel),
        bytes(further),
        empty / 1e6,
        memory.markdown(),
        work.markdown()
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn memory_is_what_is_there_without_connections_and_what_each_takes() {
        let idle = json!({
            "bytes_per_connection": 5_000.0,
            "bytes_per_further_subscription": 500.0,
            "rows": [{ "connections": 1_000, "server_bytes": 25e6, "kernel_bytes_per_connection": 8_000.0 }],
        });
        let fanout = json!({ "servers": [{
            "server": "realtime",
            "paced_ns": { "median": 10_000.0 },
            "at_once_ns": { "median": 2_000.0 },
        }] });
        let connect = json!({ "rows": [{ "who": "guest", "connect_ns": { "median": 100_000.0 } }] });
        let page = page(&idle, &fanout, &connect).unwrap_or_default();
        for words in ["520 MB", "400 MB", "100500", "100000 ", "500000 ", "10000 "] {
            assert!(page.contains(words), "{words} is not in\n{page}");
        }
    }
}
