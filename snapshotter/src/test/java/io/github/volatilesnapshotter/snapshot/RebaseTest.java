package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.linux.Xattr;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Layers that are unpacked side by side, each without a parent, and get their parents when they are committed. They are written
 * as containerd's applier writes them ({@code pkg/archive/tar_opts_linux.go}, OverlayConvertWhiteout).
 */
@Tag("kernel")
class RebaseTest extends SnapshotterKit {
    /** Images that are tried; another seed is -Drebase.seed=N. */
    private static final int IMAGES = Integer.getInteger("rebase.images", 25);

    private static final long SEED = Long.getLong("rebase.seed", System.nanoTime());

    private Snapshotter snapshotter;

    @BeforeEach
    void start() throws Exception {
        snapshotter = fixture.snapshotter();
    }

    private Path prepare(String layer) throws SnapshotException {
        return RunningSnapshotterFixture.upperOf(
                snapshotter.prepare("default/1/extract-" + layer, "", Map.of(Labels.SNAPSHOT_REF, layer)));
    }

    private void commit(String layer, String parent) throws SnapshotException {
        snapshotter.commit(layer, "default/1/extract-" + layer, parent, Map.of(), Cancellation.NEVER);
    }

    /** What a container on top of the layer sees. */
    private Map<String, String> contentOf(String layer) throws Exception {
        String key = "default/2/container on " + layer;
        Path merged =
                Path.of(snapshotter.prepare(key, layer, Map.of()).getFirst().source());
        Map<String, String> content = read(merged);
        snapshotter.remove(key);
        return content;
    }

    private static Map<String, String> read(Path root) throws IOException {
        Map<String, String> content = new TreeMap<>();
        List<Path> directories = new ArrayList<>(List.of(root));
        while (!directories.isEmpty()) {
            try (Stream<Path> entries = Files.list(directories.removeLast())) {
                for (Path entry : entries.toList()) {
                    if (Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS)) {
                        directories.add(entry);
                    }
                    content.put(root.relativize(entry).toString(), describe(entry));
                }
            }
        }
        return content;
    }

    private static String describe(Path entry) throws IOException {
        if (Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS)) {
            return Layer.DIRECTORY;
        }
        return Files.isRegularFile(entry) ? Files.readString(entry) : "listed, but no file";
    }

    private static void whiteout(Path path) throws IOException {
        Command.run("mknod", path.toString(), "c", "0", "0");
    }

    @Test
    void a_base_that_carries_whiteouts_shows_none() throws Exception {
        Path upper = prepare("base");
        Path inside = Files.createDirectories(upper.resolve("a/b"));
        Files.writeString(inside.resolve("file"), "x");
        whiteout(inside.resolve("nothing"));
        whiteout(upper.resolve("at the top, ümlaut"));
        FileTime time = FileTime.fromMillis(1_700_000_000_000L);
        Files.setLastModifiedTime(inside, time);
        commit("base", "");

        Map<String, String> wanted = Map.of("a", Layer.DIRECTORY, "a/b", Layer.DIRECTORY, "a/b/file", "x");
        Path view =
                Path.of(snapshotter.view("view", "base", Map.of()).getFirst().source());
        assertThat(read(view)).isEqualTo(wanted);
        assertThat(contentOf("base")).isEqualTo(wanted);
        assertThat(Files.getLastModifiedTime(view.resolve("a/b"))).isEqualTo(time);
        assertThat(snapshotter.usage("base", Cancellation.NEVER).inodes()).isEqualTo(4);
    }

    @Test
    void a_whiteout_hides_what_a_layer_far_below_has() throws Exception {
        Path top = prepare("top");
        Path middle = prepare("middle");
        Path base = prepare("base");
        Files.createDirectory(top.resolve("a"));
        whiteout(top.resolve("a/file"));
        Files.writeString(middle.resolve("elsewhere"), "y");
        Files.createDirectory(base.resolve("a"));
        Files.writeString(base.resolve("a/file"), "x");
        commit("base", "");
        commit("middle", "base");
        commit("top", "middle");
        assertThat(contentOf("middle")).containsEntry("a/file", "x");
        assertThat(contentOf("top")).isEqualTo(Map.of("a", Layer.DIRECTORY, "elsewhere", "y"));
    }

    @Test
    void a_whiteout_in_a_directory_that_nothing_below_is_merged_with_is_not_listed() throws Exception {
        Path top = prepare("top");
        Path middle = prepare("middle");
        Path base = prepare("base");
        for (String name : List.of("opaque", "removed", "replaced", "opaque below/inner")) {
            Files.writeString(Files.createDirectories(base.resolve(name)).resolve("file"), "x");
            whiteout(Files.createDirectories(top.resolve(name)).resolve("file"));
        }
        makeOpaque(top.resolve("opaque"));
        whiteout(middle.resolve("removed"));
        Files.writeString(middle.resolve("replaced"), "no directory");
        makeOpaque(Files.createDirectory(middle.resolve("opaque below")));
        commit("base", "");
        commit("middle", "base");
        commit("top", "middle");
        assertThat(contentOf("top"))
                .isEqualTo(Map.of(
                        "opaque", Layer.DIRECTORY,
                        "removed", Layer.DIRECTORY,
                        "replaced", Layer.DIRECTORY,
                        "opaque below", Layer.DIRECTORY,
                        "opaque below/inner", Layer.DIRECTORY));
    }

    private static void makeOpaque(Path path) throws IOException {
        Xattr.set(path, "trusted.overlay.opaque", new byte[] {'y'});
    }

    @Test
    void layers_add_up_to_the_same_in_whatever_order_they_are_unpacked() throws Exception {
        System.out.println("rebase.seed=" + SEED + " rebase.images=" + IMAGES);
        Random random = new Random(SEED);
        int rebased = 0;
        for (int image = 0; image < IMAGES; image++) {
            List<Layer> layers = Layer.image(random, 2 + random.nextInt(5));
            List<Integer> order = new ArrayList<>();
            for (int layer = 0; layer < layers.size(); layer++) {
                order.add(layer);
            }
            Collections.shuffle(order, random);
            for (int layer : order) {
                layers.get(layer).writeTo(prepare(image + "-" + layer));
            }
            Map<String, String> wanted = new TreeMap<>();
            for (int layer = 0; layer < layers.size(); layer++) {
                String name = image + "-" + layer;
                commit(name, layer == 0 ? "" : image + "-" + (layer - 1));
                layers.get(layer).applyTo(wanted);
                assertThat(contentOf(name))
                        .as("seed %d, image %d, layer %d of %s", SEED, image, layer, layers)
                        .isEqualTo(wanted);
                rebased += layer == 0 ? 0 : 1;
            }
        }
        assertThat(rebased).isGreaterThanOrEqualTo(IMAGES);
    }

    /** What one layer has at each path: a directory, an opaque one, nothing (a whiteout), or a file of that content. */
    private record Layer(Map<String, String> entries) {
        private static final String DIRECTORY = "a directory";
        private static final String OPAQUE = "an opaque directory";
        private static final String WHITEOUT = "a whiteout";
        private static final List<String> NAMES = List.of("a", "b", "c");

        static List<Layer> image(Random random, int count) {
            List<Layer> layers = new ArrayList<>();
            for (int each = 0; each < count; each++) {
                Layer layer = new Layer(new TreeMap<>());
                for (int change = 0; change < 8; change++) {
                    layer.change(random, "layer " + each + ", change " + change);
                }
                layers.add(layer);
            }
            return layers;
        }

        /** At a path of one to three names; not below what is no directory in this layer, and each path once. */
        private void change(Random random, String content) {
            String path = name(random);
            for (int depth = random.nextInt(3); depth > 0; depth--) {
                String above = entries.getOrDefault(path, DIRECTORY);
                if (!above.equals(DIRECTORY) && !above.equals(OPAQUE)) {
                    return;
                }
                entries.putIfAbsent(path, DIRECTORY);
                path = path + "/" + name(random);
            }
            String made = List.of(content, content, DIRECTORY, OPAQUE, WHITEOUT, WHITEOUT)
                    .get(random.nextInt(6));
            boolean holdsOthers = DIRECTORY.equals(entries.get(path)) && made.equals(OPAQUE);
            if (holdsOthers) {
                entries.put(path, made);
            } else {
                entries.putIfAbsent(path, made);
            }
        }

        private static String name(Random random) {
            return NAMES.get(random.nextInt(NAMES.size()));
        }

        /** Parents come before what is in them. */
        void writeTo(Path upper) throws IOException {
            for (Map.Entry<String, String> entry : entries.entrySet()) {
                Path path = upper.resolve(entry.getKey());
                switch (entry.getValue()) {
                    case DIRECTORY -> Files.createDirectory(path);
                    case OPAQUE -> makeOpaque(Files.createDirectory(path));
                    case WHITEOUT -> whiteout(path);
                    default -> Files.writeString(path, entry.getValue());
                }
            }
        }

        /** As the OCI image specification says, knowing nothing of overlayfs. */
        void applyTo(Map<String, String> tree) {
            entries.forEach((path, what) -> {
                boolean hidesBelow = !what.equals(DIRECTORY) || !DIRECTORY.equals(tree.get(path));
                if (hidesBelow) {
                    tree.keySet().removeIf(name -> name.startsWith(path + "/"));
                }
                switch (what) {
                    case WHITEOUT -> tree.remove(path);
                    case OPAQUE -> tree.put(path, DIRECTORY);
                    default -> tree.put(path, what);
                }
            });
        }
    }
}
