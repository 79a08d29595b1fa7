//! Recovery of log from the archive when an instance is created from a backup.

use k8s_openapi::api::core::v1::EnvVar;

use super::container::env;

/// Name of the script in the ConfigMap of a shard.
pub const RESTORE_WAL_FILE: &str = "restore_wal.sh";
/// The `restore_command`: that of pgBackRest, but for what would lead astray.
pub const RESTORE_WAL: &str = include_str!("restore_wal.sh");

/// Has pgBackRest configure what it restores with the script, which is in a directory. Multigres v0.1.0 never takes the
/// setting back, so the script itself decides what an instance that has joined its shard may take.
pub fn restore_command(directory: &str) -> EnvVar {
    let option = format!(r#"restore_command=sh {directory}/{RESTORE_WAL_FILE} "%f" "%p""#);
    env("PGBACKREST_RECOVERY_OPTION", &option)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, Output};

    use super::*;

    /// Bytes of a segment.
    const SEGMENT: usize = 16 << 20;
    /// In place of pgBackRest: tells what it is asked, and has each file, full of log, or those of one name.
    /// `pg_controldata` tells of a backup that begins at `$BACKUP_START`.
    const PGBACKREST: &str = "pg_controldata() {
        echo \"Database cluster state:               in archive recovery\"
        echo \"Backup start location:                $BACKUP_START\"
        echo \"Backup end location:                  0/0\"
    }
    pgbackrest() {
        echo \"$@\"
        [ -z \"$HAS\" ] || [ \"$HAS\" = \"$4\" ] || return 1
        head -c 16777216 /dev/zero | tr '\\0' x >\"$5\"
    }\n";
    const RESTORED: &str = "pg_wal/RECOVERYXLOG";

    /// Runs the script for a file, in a directory with these timelines' histories, and an archive that has all that it
    /// is asked for or, where one is named, one file.
    fn restore(file: &str, histories: &[(&str, &str)], has: &str) -> (Output, Option<Vec<u8>>) {
        let histories: Vec<_> =
            histories.iter().map(|(name, history)| (format!("pg_wal/{name}"), *history)).collect();
        let files: Vec<_> = histories.iter().map(|(name, history)| (name.as_str(), *history)).collect();
        restore_among(file, &files, has, "0/0")
    }

    /// The same among any files of PostgreSQL's directory, whose data is consistent unless its backup begins somewhere.
    fn restore_among(
        file: &str,
        files: &[(&str, &str)],
        has: &str,
        backup_start: &str,
    ) -> (Output, Option<Vec<u8>>) {
        let volume = tempfile::tempdir().unwrap();
        let directory = volume.path().join("pg_data");
        fs::create_dir_all(directory.join("pg_wal")).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
        }
        let output = Command::new("sh")
            .args(["-c", &[PGBACKREST, RESTORE_WAL].concat(), RESTORE_WAL_FILE, file, RESTORED])
            .current_dir(&directory)
            .env("HAS", has)
            .env("BACKUP_START", backup_start)
            .output()
            .unwrap();
        (output, fs::read(directory.join(RESTORED)).ok())
    }

    /// The request of the script to pgBackRest for a file, if there is one, and the number of bytes that remain of it.
    fn asked(file: &str, histories: &[(&str, &str)], has: &str) -> Option<(String, usize)> {
        let (output, restored) = restore(file, histories, has);
        let Some(restored) = restored else {
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output:?}");
            return None;
        };
        assert!(output.status.success() && restored.len() == SEGMENT, "{file}: {output:?}");
        let (log, rest) = restored.split_at(restored.iter().position(|byte| *byte == 0).unwrap_or(SEGMENT));
        assert!(rest.iter().all(|byte| *byte == 0), "{file}: log after its end");
        assert_eq!(output.stderr.is_empty(), rest.is_empty(), "{output:?}");
        Some((String::from_utf8(output.stdout).unwrap(), log.len()))
    }

    #[test]
    fn the_archive_is_asked_for_what_there_is_a_copy_of() {
        let older = ("00000002.history", "1\t0/4000000\tno recovery target specified\n");
        let newer = (
            "00000003.history",
            "1\t0/4000000\tno recovery target specified\n\n2\t1/50000A0\tbefore 2026-01-01\n",
        );
        for (file, histories, bytes) in [
            // Without a history there is one timeline.
            ("000000010000000000000004", &[][..], Some(SEGMENT)),
            // The end of a timeline is in the segment in which the next one begins.
            ("000000020000000100000004", &[older, newer], Some(SEGMENT)),
            ("000000020000000100000005", &[older, newer], Some(0xA0)),
            ("000000020000000100000006", &[older, newer], None),
            ("000000020000000200000000", &[older, newer], None),
            ("0000000200000000000000FF", &[older, newer], Some(SEGMENT)),
            // Where it ends with a segment, that one is whole.
            ("000000010000000000000003", &[older, newer], Some(SEGMENT)),
            ("000000010000000000000004", &[older, newer], None),
            // Its own, and later ones.
            ("000000030000000100000005", &[older, newer], Some(SEGMENT)),
            ("000000040000000100000005", &[older, newer], Some(SEGMENT)),
            // The newest history is the one that counts.
            ("000000020000000100000005", &[older], Some(SEGMENT)),
            // What is no segment.
            ("00000002.history", &[older, newer], Some(SEGMENT)),
            ("000000020000000100000005.partial", &[older, newer], Some(SEGMENT)),
            ("000000020000000100000005.00000028.backup", &[older, newer], Some(SEGMENT)),
        ] {
            let expected = bytes.map(|bytes| {
                let asked = format!(
                    "--stanza=multigres --config=/data/pgbackrest/pgbackrest.conf archive-get {file} {RESTORED}\n"
                );
                (asked, bytes)
            });
            assert_eq!(asked(file, histories, ""), expected, "{file}");
        }
    }

    #[test]
    fn what_is_not_in_the_archive_is_not_made_up() {
        let histories = [("00000002.history", "1\t0/40000A0\tno recovery target specified\n")];
        for file in ["000000010000000000000004", "000000010000000000000003", "00000003.history"] {
            let (output, restored) = restore(file, &histories, "another");
            assert_eq!((output.status.code(), restored), (Some(1), None), "{file}");
        }
        // Where a timeline was left, the new primary archives what it has of it under a name of its own.
        let last = "000000010000000000000004.partial";
        let (asked, bytes) = asked("000000010000000000000004", &histories, last).unwrap();
        assert_eq!((asked.lines().count(), asked.contains(last), bytes), (2, true, 0xA0));
        assert!(
            restore("000000010000000000000003", &histories, "000000010000000000000003.partial").1.is_none()
        );
    }

    /// Of an instance that has promised its shard something, as v0.1.0 writes it.
    const PROMISE: (&str, &str) = (
        "../consensus_term.json",
        "{\n  \"revokedBelowTerm\":  \"3\",\n  \"acceptedCoordinatorId\":  {\n    \"name\":  \"o-0\"\n  }\n}",
    );
    const SEGMENT_4: &str = "000000020000000000000004";
    const HISTORY_3: &str = "00000003.history";

    fn settings(text: &str) -> (&str, &str) {
        ("postgresql.auto.conf", text)
    }

    /// True if a member of the cohort gets a segment, and a history, that the archive has.
    fn handed(files: &[(&str, &str)], backup_start: &str) -> (bool, bool) {
        let handed = |file| {
            let (output, restored) = restore_among(file, files, "", backup_start);
            assert_eq!(output.status.code(), Some(i32::from(restored.is_none())), "{file}: {output:?}");
            assert_eq!(restored.is_none(), output.stdout.is_empty(), "{file}: {output:?}");
            restored.is_some()
        };
        (handed(SEGMENT_4), handed(HISTORY_3))
    }

    #[test]
    fn a_member_of_the_cohort_takes_nothing_that_leads_it_elsewhere() {
        let conf = settings;
        let running = |state: &'static str| ("postmaster.pid", state);
        let open = running("12\n/data/pg_data\n1\n5432\n/data/pg_sockets\n*\n 1 2\nready   \n");
        let starting = running("12\n/data/pg_data\n1\n5432\n/data/pg_sockets\n*\n 1 2\nstarting\n");
        let command = "# Do not edit this file manually!\nrestore_command = 'sh x \"%f\" \"%p\"'\n";
        let follows = [command, "primary_conninfo = 'host=a-0 port=5432'\n"].concat();
        let led = [command, "synchronous_standby_names = 'ANY 1 (\"z1_a\")'\n"].concat();
        let (follows, led) = (conf(&follows), conf(&led));
        let emptied = conf("primary_conninfo = 'host=a-0 port=5432'\nprimary_conninfo = ''\n");
        for (what, files, backup_start, expected) in [
            ("it has promised nothing", vec![conf(command), open], "0/0", (true, true)),
            (
                "its promise is void",
                vec![("../consensus_term.json", "{}"), conf(command), open],
                "0/0",
                (true, true),
            ),
            ("it follows a primary", vec![PROMISE, follows, open], "0/0", (true, false)),
            ("it follows a primary and starts", vec![PROMISE, follows, starting], "0/0", (true, false)),
            ("it was recruited", vec![PROMISE, conf(command), open], "0/0", (false, false)),
            ("its primary was taken from it", vec![PROMISE, emptied, open], "0/0", (false, false)),
            ("a former primary starts", vec![PROMISE, led, starting], "0/0", (false, false)),
            ("nothing says that it runs", vec![PROMISE, led], "0/0", (false, false)),
            ("it has no settings", vec![PROMISE, open], "0/0", (false, false)),
            // The number of its timeline must be higher than that of any other.
            ("it is about to lead", vec![PROMISE, led, open], "0/0", (false, true)),
            (
                "its data was restored and is not consistent",
                vec![PROMISE, conf(command), starting],
                "0/3000028",
                (true, true),
            ),
            (
                "its data was restored and not looked at yet",
                vec![PROMISE, conf(command), ("backup_label", "")],
                "0/0",
                (true, true),
            ),
        ] {
            assert_eq!(
                handed(&files, backup_start),
                expected,
                "{what}: a segment and a history are handed out"
            );
        }
    }

    #[test]
    fn a_promise_is_read_however_it_is_laid_out() {
        for (text, is_bound) in [
            (r#"{"revokedBelowTerm":"12"}"#, true),
            (r#"{"revokedBelowTerm": "1","acceptedCoordinatorId":{"cell":"z1"}}"#, true),
            ("{\n  \"revokedBelowTerm\": 7\n}\n", true),
            (r#"{"revokedBelowTerm":"0"}"#, false),
            (r#"{"acceptedCoordinatorId":{"name":"o-1"}}"#, false),
            ("", false),
        ] {
            let promise = ("../consensus_term.json", text);
            let expected = (!is_bound, !is_bound);
            assert_eq!(handed(&[promise, ("postgresql.auto.conf", "")], "0/0"), expected, "{text}");
        }
    }

    #[test]
    fn postgresql_names_the_file() {
        let option = restore_command("/etc/pgctld");
        assert_eq!(option.value.unwrap(), r#"restore_command=sh /etc/pgctld/restore_wal.sh "%f" "%p""#);
    }
}
