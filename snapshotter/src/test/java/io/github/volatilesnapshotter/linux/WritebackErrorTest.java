package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.linux.OverlayMounterTest.Way;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a real writeback error does to the calls of this package. */
@Tag("kernel")
@ParameterizedClass
@EnumSource(Disk.FileSystem.class)
class WritebackErrorTest {
    @Parameter
    Disk.FileSystem fileSystem;

    @AutoClose
    FaultyDisk disk;

    @BeforeEach
    void make_the_disk() throws IOException {
        disk = FaultyDisk.create(fileSystem);
    }

    @ParameterizedTest
    @EnumSource
    void a_volatile_mount_is_refused_until_the_error_has_been_seen(Way way) throws IOException {
        OverlayLayers layers = layers();
        Path target = Files.createDirectory(disk.root().resolve("merged"));
        Damage.loseWrites(disk);

        assertErrno(Errno.EIO, () -> way.mounter().mount(layers, true, target));
        assertThat(MountInfo.containing(target).mountPoint())
                .isEqualTo(disk.root().toString());
        seeTheError();
        way.mounter().mount(layers, true, target);

        assertThat(MountInfo.containing(target).isVolatile()).isTrue();
    }

    /** Whose reason stands only in the kernel's log: who mounts by fsopen reads nothing. It comes before that of the mark. */
    @Test
    void a_volatile_mount_that_is_refused_for_the_error_says_no_more_and_looks_for_no_mark() throws IOException {
        OverlayLayers layers = layers();
        Path target = Files.createDirectory(disk.root().resolve("merged"));
        OverlayMounter.fsopen().openDetached(layers).close();
        assertErrno(Errno.EINVAL, () -> OverlayMounter.fsopen().mount(layers, true, target));
        Damage.loseWrites(disk);

        assertThatThrownBy(() -> OverlayMounter.fsopen().mount(layers, true, target))
                .isInstanceOfSatisfying(SyscallException.class, failure -> {
                    assertThat(failure.errno()).isEqualTo(Errno.EIO);
                    assertThat(failure.kernelMessage()).isNull();
                });
        seeTheError();
        assertErrno(Errno.EINVAL, () -> OverlayMounter.fsopen().mount(layers, true, target));
    }

    @Test
    void asking_by_a_detached_overlay_sees_the_error_and_consumes_nothing() throws IOException {
        OverlayLayers layers = layers();
        Damage.loseWrites(disk);

        for (int time = 0; time < 3; time++) {
            assertErrno(Errno.EIO, () -> OverlayMounter.fsopen().openDetached(layers));
        }
        seeTheError();
        OverlayMounter.fsopen().openDetached(layers).close();
    }

    @Test
    void the_overlay_that_was_there_reports_the_error_for_ever() throws IOException {
        try (Fd root = OverlayMounter.fsopen().openDetached(layers())) {
            Sync.fsync(root);
            Damage.loseWrites(disk);

            assertThatThrownBy(() -> Sync.fsync(root)).isInstanceOf(SyscallException.class);
            seeTheError();
            assertThatThrownBy(() -> Sync.fsync(root)).isInstanceOf(SyscallException.class);
        }
    }

    @Test
    void a_descriptor_from_before_the_error_is_told_of_it_whoever_was_told_first() throws IOException {
        try (Fd witness = Fd.openDirectory(disk.root())) {
            Damage.loseWrites(disk);
            seeTheError();

            try (Fd later = Fd.openDirectory(disk.root())) {
                Sync.syncfs(later);
            }
            assertThatThrownBy(() -> Sync.syncfs(witness)).isInstanceOf(SyscallException.class);
            Sync.syncfs(witness);
        }
    }

    private OverlayLayers layers() throws IOException {
        return new OverlayLayers(
                List.of(Files.createDirectory(disk.root().resolve("lower"))),
                Files.createDirectory(disk.root().resolve("upper")),
                Files.createDirectory(disk.root().resolve("work")));
    }

    private void seeTheError() throws IOException {
        try (Fd descriptor = Fd.openDirectory(disk.root())) {
            assertThatThrownBy(() -> Sync.syncfs(descriptor)).isInstanceOf(SyscallException.class);
        }
    }
}
