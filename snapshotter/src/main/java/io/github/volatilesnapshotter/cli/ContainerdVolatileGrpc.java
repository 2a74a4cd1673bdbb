package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.config.ListenAddress;
import java.lang.System.Logger.Level;
import java.util.Locale;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.TypeConversionException;

/** The daemon's command line. */
@Command(
        name = "containerd-volatile-grpc",
        description = "A containerd snapshotter that makes volatile overlayfs safe.",
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        subcommands = {ServeCommand.class, ConfigCommand.class, DoctorCommand.class})
public final class ContainerdVolatileGrpc {
    private ContainerdVolatileGrpc() {}

    public static void main(String[] arguments) {
        System.exit(commandLine().execute(arguments));
    }

    static CommandLine commandLine() {
        return new CommandLine(new ContainerdVolatileGrpc())
                .registerConverter(ListenAddress.class, ContainerdVolatileGrpc::listenAddress)
                .registerConverter(Level.class, ContainerdVolatileGrpc::level);
    }

    private static ListenAddress listenAddress(String text) {
        try {
            return ListenAddress.parse(text);
        } catch (IllegalArgumentException e) {
            throw new TypeConversionException(e.getMessage());
        }
    }

    private static Level level(String text) {
        try {
            return Level.valueOf(text.toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException e) {
            throw new TypeConversionException("\"" + text + "\" is not trace, debug, info, warning or error");
        }
    }
}
