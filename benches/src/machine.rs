//! Where and with what a run was made: the lines without which its numbers mean nothing.

use crate::contender::{CONTENDERS, Contender, Proxy};
use crate::report::Table;
use crate::setup::find;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

/// Date, processor, kernel, load of others, and the versions of the servers, as a Markdown list.
#[must_use]
pub fn description() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "- date: {}\n- machine: {}, {cores} cores, Linux {}\n- load average before the run: {}\n- servers: {}\n- load: {}\n",
        first_line(Path::new("date"), &["-u", "+%Y-%m-%d %H:%M UTC"]),
        cpu.trim_start_matches([' ', '\t', ':']),
        first_line(Path::new("uname"), &["-r"]),
        load.split(' ').next().unwrap_or_default(),
        first_line(Path::new("redis-server"), &["--version"]),
        first_line(Path::new("redis-benchmark"), &["--version"]),
    )
}

/// What each of the `chosen` contenders is, and its version, or that it is not installed.
#[must_use]
pub fn contenders(chosen: &[&'static Contender]) -> Table {
    let mut table = Table::new(&["contender", "version", "what it does"]);
    for contender in CONTENDERS.iter().filter(|row| chosen.iter().any(|one| one.name == row.name)) {
        let version = contender.proxy.as_ref().map_or_else(|| "-".to_owned(), version);
        table.row([contender.name.to_owned(), version, contender.summary.to_owned()]);
    }
    table
}

fn version(proxy: &Proxy) -> String {
    match find(proxy) {
        Ok(program) => {
            let line = first_line(&program, &[proxy.version]);
            // Some begin with their own path, which says nothing about the version.
            line.trim_start_matches(&*program.to_string_lossy()).trim().to_owned()
        }
        Err(missing) => format!("**{missing}**"),
    }
}

/// The first line with text that a program prints, on either stream.
fn first_line(program: &Path, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).output() else { return "unknown".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown").trim().to_owned()
}
