//! `realtime health`: asks a running server whether it is well, for containers without any other program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::{ArgMatches, Command};

use super::{Failure, config, say, settings};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn command() -> Command {
    settings(
        Command::new("health")
            .about("Ask the server on this machine whether it is ready; exit code 0 if it is")
            .after_help("Examples:\n  realtime health\n  PORT=80 realtime health        in a container's health check"),
    )
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let address = local(config(matches)?.listen);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .into();
    let mut answer = agent.get(format!("http://{address}/health/ready")).call().map_err(|error| {
        Failure(format!("no server answers on {address}: {error}; is it running, and on this port?"))
    })?;
    let body = answer.body_mut().read_to_string().unwrap_or_default();
    match answer.status().is_success() {
        true => {
            say(&body);
            Ok(())
        }
        false => Err(Failure(format!("the server on {address} is not ready: {body}"))),
    }
}

/// Where to reach a server of this machine: one that listens on every address is reached on the loopback.
fn local(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}
