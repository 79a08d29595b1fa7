//! Probes that end what hangs: PostgreSQL, and the pooler beside it.
//!
//! A process that hangs keeps its connections and its place: nobody else takes over before its container is ended. The
//! kubelet ends it after about 20 seconds, and never for a crash recovery, however long that takes.

use k8s_openapi::api::core::v1::Probe;

use super::container::{exec, http_get};

/// Fails where a postmaster lives and does not answer.
const HANG: &str = include_str!("hang.sh");

/// Liveness of the PostgreSQL of an instance, as the container of pgctld tells it.
pub fn postgresql(sockets: &str, port: &str, data: &str) -> Probe {
    Probe {
        period_seconds: Some(5),
        // More than `pg_isready` takes, so that a busy node alone makes no failure.
        timeout_seconds: Some(10),
        failure_threshold: Some(4),
        // A process that is stopped does not end by itself.
        termination_grace_period_seconds: Some(5),
        ..exec(&["sh", "-c", HANG, "hang", sockets, port, data])
    }
}

/// Liveness of the pooler.
pub fn pooler(port: i32) -> Probe {
    Probe {
        period_seconds: Some(5),
        timeout_seconds: Some(5),
        failure_threshold: Some(4),
        termination_grace_period_seconds: Some(10),
        ..http_get("/live", port)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::{Child, Command};

    use super::*;

    /// A process under a name.
    fn process(directory: &Path, name: &str) -> Child {
        let program = directory.join(name);
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        Command::new(program).arg("60").spawn().unwrap()
    }

    /// The exit code of the probe where `pg_isready` answers so and `postmaster.pid` begins so.
    fn probed(answer: i32, pid: Option<&str>) -> Option<i32> {
        let directory = tempfile::tempdir().unwrap();
        let pg_isready = directory.path().join("pg_isready");
        fs::write(&pg_isready, format!("#!/bin/sh\nexit {answer}\n")).unwrap();
        fs::set_permissions(&pg_isready, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(pid) = pid {
            fs::write(directory.path().join("postmaster.pid"), format!("{pid}\n/data/pg_data\n")).unwrap();
        }
        let data = directory.path().to_str().unwrap();
        let probe = postgresql("/sockets", "5432", data);
        let command = probe.exec.unwrap().command.unwrap();
        let path = format!("{data}:{}", std::env::var("PATH").unwrap());
        let output = Command::new(&command[0]).args(&command[1..]).env("PATH", path).output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        output.status.code()
    }

    #[test]
    fn only_a_living_postmaster_that_does_not_answer_fails() {
        let [directory, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (mut postmaster, mut other) =
            (process(directory.path(), "postgres"), process(directory.path(), "another"));
        // A child that has ended and that nobody has waited for.
        let mut ended = process(elsewhere.path(), "postgres");
        ended.kill().unwrap();
        let [living, another, zombie] = [postmaster.id(), other.id(), ended.id()].map(|pid| pid.to_string());
        let negative = format!("-{living}");
        for (what, answer, pid, expected) in [
            ("it answers", 0, Some(&living), 0),
            ("it starts, recovers or shuts down", 1, Some(&living), 0),
            ("it hangs", 2, Some(&living), 1),
            ("it was not asked", 3, Some(&living), 0),
            ("there is no file", 2, None, 0),
            ("the file is empty", 2, Some(&String::new()), 0),
            ("single-user mode", 2, Some(&negative), 0),
            ("the number is another process's", 2, Some(&another), 0),
            ("it has ended", 2, Some(&zombie), 0),
            ("there is no such process", 2, Some(&"4194305".to_owned()), 0),
        ] {
            assert_eq!(probed(answer, pid.map(String::as_str)), Some(expected), "{what}");
        }
        for child in [&mut postmaster, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        ended.wait().unwrap();
    }

    /// Twenty seconds of silence at the least, also where the node is busy.
    #[test]
    fn a_hang_is_long() {
        for probe in [postgresql("/s", "5432", "/d"), pooler(1)] {
            assert!(probe.period_seconds.unwrap() * probe.failure_threshold.unwrap() >= 20);
        }
    }
}
