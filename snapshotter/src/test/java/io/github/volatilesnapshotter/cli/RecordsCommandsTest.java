package io.github.volatilesnapshotter.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.metadata.Backup;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;

/** {@code volatilectl backup}, {@code restore} and {@code recovery}, with a daemon in this process. */
@Tag("kernel")
@Timeout(120)
@Isolated("takes standard output and standard error")
class RecordsCommandsTest {
    @TempDir
    private Path directory;

    private TakenStreams streams;
    private Config config;
    private Daemon daemon;
    private Path file;

    @BeforeEach
    void start() throws Exception {
        config = DaemonFixture.configBelow(directory);
        file = directory.resolve("records.backup");
        startDaemon();
        streams = new TakenStreams();
    }

    private void startDaemon() throws Exception {
        daemon = new Daemon(config, true);
        daemon.start();
    }

    @AfterEach
    void stop() throws Exception {
        try (TakenStreams _ = streams) {
            daemon.stop();
        } finally {
            for (MountInfo mount : MountInfo.below(directory)) {
                Mounting.detach(Path.of(mount.mountPoint()));
            }
        }
    }

    private void prepare(String... keys) {
        DaemonFixture.prepare(config.socket(), keys);
    }

    private int control(String... arguments) {
        List<String> all = new ArrayList<>(List.of(arguments));
        all.addAll(List.of("--root", config.root().toString()));
        if (arguments[0].equals("backup")) {
            all.addAll(List.of("--address", config.socket().toString()));
        }
        return Volatilectl.program().run(all.toArray(String[]::new));
    }

    private List<String> keysIn(Path backup) throws Exception {
        return Backup.read(backup, directory.resolve("scratch")).records().stream()
                .map(SnapshotRecord::key)
                .toList();
    }

    @Test
    void a_running_daemon_is_backed_up_without_a_pause_and_a_file_that_is_there_is_kept() throws Exception {
        prepare("ns/1/a", "ns/2/b");
        assertThat(control("backup", file.toString())).isZero();
        assertThat(output()).isEqualTo("2 records\n");
        assertThat(keysIn(file)).containsExactly("ns/1/a", "ns/2/b");

        prepare("ns/3/c");
        assertThat(control("backup", file.toString())).isEqualTo(ExitCode.FAILED);
        assertThat(errors()).isEqualTo("error: " + file + " is there already; give another name, or --replace\n");
        assertThat(keysIn(file)).hasSize(2);
        assertThat(control("backup", file.toString(), "--replace")).isZero();
        assertThat(keysIn(file)).hasSize(3);
        assertThat(directory.resolve("records.backup.unfinished")).doesNotExist();
        assertThat(config.state().resolve("backup.db")).doesNotExist();
    }

    @Test
    void many_records_come_in_many_pieces() throws Exception {
        String[] keys = new String[300];
        for (int key = 0; key < keys.length; key++) {
            keys[key] = "ns/" + key + "/extract-" + "x".repeat(900);
        }
        prepare(keys);
        assertThat(control("backup", file.toString())).isZero();
        assertThat(Files.size(file)).isGreaterThan(256 << 10);
        assertThat(keysIn(file)).hasSize(keys.length);
    }

    @Test
    void a_root_without_a_daemon_is_backed_up_and_restored() throws Exception {
        prepare("ns/1/then");
        daemon.stop();
        Path records = config.root().resolve("metadata.db");
        byte[] before = Files.readAllBytes(records);
        assertThat(control("backup", file.toString())).isZero();
        assertThat(Files.readAllBytes(records)).isEqualTo(before);
        startDaemon();
        prepare("ns/2/since");

        assertThat(control("restore", file.toString())).isEqualTo(ExitCode.FAILED);
        assertThat(errors()).contains("a daemon serves root " + config.root());

        daemon.stop();
        assertThat(control("restore", file.toString())).isZero();
        assertThat(output())
                .contains("1 records restored")
                .contains("what was there before is kept: " + config.root().resolve("metadata.db.replaced-"))
                .contains("throw away 1 directories");
        startDaemon();
        streams.forget();
        assertThat(Volatilectl.program()
                        .run("snapshots", "--address", config.socket().toString()))
                .isZero();
        assertThat(output()).contains("ns/1/then").doesNotContain("ns/2/since");
    }

    @Test
    void the_report_of_the_last_start_is_shown() throws Exception {
        prepare("ns/1/a");
        daemon.stop();
        Files.createDirectory(config.root().resolve("snapshots").resolve("77"));
        startDaemon();
        await().atMost(Duration.ofSeconds(20)).untilAsserted(() -> {
            streams.forget();
            assertThat(control("recovery")).isZero();
            assertThat(output())
                    .contains("snapshots  1\n", "thrown-away", "a directory without a record", "77")
                    // The stop has unmounted everything.
                    .contains("poisoned", "ns/1/a: unverifiable");
        });
    }

    @Test
    void what_is_no_backup_is_refused_in_one_line() throws Exception {
        daemon.stop();
        Files.writeString(file, "a text");
        assertThat(control("restore", file.toString())).isEqualTo(ExitCode.FAILED);
        assertThat(errors()).startsWith("error: " + file).endsWith("\n").hasLineCount(1);
        assertThat(control("backup", directory.resolve("no/such/directory").toString()))
                .isEqualTo(ExitCode.FAILED);
    }

    @Test
    void without_daemon_and_root_it_says_both() throws Exception {
        daemon.stop();
        assertThat(Volatilectl.program()
                        .run(
                                "backup",
                                file.toString(),
                                "--root",
                                directory.resolve("nobody").toString(),
                                "--address",
                                directory.resolve("no.sock").toString()))
                .isEqualTo(ExitCode.FAILED);
        assertThat(errors()).contains("nobody answers on").contains("there is no root");
        assertThat(file).doesNotExist();
    }

    private String output() {
        return streams.output();
    }

    private String errors() {
        return streams.errors();
    }
}
