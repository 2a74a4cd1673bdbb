package io.github.volatilesnapshotter.config;

import java.net.InetSocketAddress;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A host and a port to listen on, written {@code HOST:PORT}; an IPv6 address stands in brackets.
 *
 * @param port 0 for one that the kernel chooses
 */
public record ListenAddress(String host, int port) {
    private static final Pattern FORM = Pattern.compile("(?<host>[^:\\[\\]\\s]+|\\[[0-9A-Fa-f:.]+]):(?<port>\\d{1,5})");
    private static final int MAXIMUM_PORT = 65_535;

    /** Throws {@link IllegalArgumentException} with a message for people. */
    public static ListenAddress parse(String text) {
        Matcher matcher = FORM.matcher(text);
        if (!matcher.matches() || Integer.parseInt(matcher.group("port")) > MAXIMUM_PORT) {
            throw new IllegalArgumentException(
                    "\"" + text + "\" is not HOST:PORT, for example 127.0.0.1:9090 or [::1]:9090");
        }
        return new ListenAddress(matcher.group("host"), Integer.parseInt(matcher.group("port")));
    }

    /** Looks the host up. */
    public InetSocketAddress resolve() {
        return new InetSocketAddress(host.replaceAll("[\\[\\]]", ""), port);
    }

    @Override
    public String toString() {
        return host + ":" + port;
    }
}
