//! How PostgreSQL takes its log from the archive when an instance is made from a backup.

use k8s_openapi::api::core::v1::EnvVar;

use super::container::env;

/// Name of the script in the ConfigMap of a shard.
pub const RESTORE_WAL_FILE: &str = "restore_wal.sh";
/// The `restore_command`: that of pgBackRest, but for what would lead astray.
pub const RESTORE_WAL: &str = include_str!("restore_wal.sh");

/// Has pgBackRest configure what it restores with the script, which is in a directory. It stays configured.
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
    const PGBACKREST: &str = "pgbackrest() {
        echo \"$@\"
        [ -z \"$HAS\" ] || [ \"$HAS\" = \"$4\" ] || return 1
        head -c 16777216 /dev/zero | tr '\\0' x >\"$5\"
    }\n";
    const RESTORED: &str = "pg_wal/RECOVERYXLOG";

    /// Runs the script for a file, in a directory with these timelines' histories, and an archive that has all that it
    /// is asked for or, where one is named, one file.
    fn restore(file: &str, histories: &[(&str, &str)], has: &str) -> (Output, Option<Vec<u8>>) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("pg_wal")).unwrap();
        for (name, history) in histories {
            fs::write(directory.path().join("pg_wal").join(name), history).unwrap();
        }
        let output = Command::new("sh")
            .args(["-c", &[PGBACKREST, RESTORE_WAL].concat(), RESTORE_WAL_FILE, file, RESTORED])
            .current_dir(&directory)
            .env("HAS", has)
            .output()
            .unwrap();
        (output, fs::read(directory.path().join(RESTORED)).ok())
    }

    /// What the script asks of pgBackRest for a file, if it does, and how many bytes of it remain.
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

    #[test]
    fn postgresql_names_the_file() {
        let option = restore_command("/etc/pgctld");
        assert_eq!(option.value.unwrap(), r#"restore_command=sh /etc/pgctld/restore_wal.sh "%f" "%p""#);
    }
}
