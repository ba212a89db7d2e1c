using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace CudaLora.Bench.Processes;

/// <summary>What one process cost, as the kernel counted it.</summary>
/// <param name="Wall">From its start to its end.</param>
/// <param name="Cpu">Of all its threads, user and system.</param>
/// <param name="PeakBytes">Its largest resident set.</param>
internal sealed record ProcessSample(TimeSpan Wall, TimeSpan Cpu, long PeakBytes);

/// <summary>Runs a program to its end and reads what it cost. Linux only.</summary>
internal static partial class ChildProcess
{
    private const int Subreaper = 36;
    private const int Interrupted = 4;

    // The kernel lets a process start with the peak of the one it was forked from, which for this one would be larger
    // than most of what is measured. So a shell forks it, waits for a line, becomes the program, and is inherited here.
    private const string Launch =
        """errors=$1; shift; exec 3<&0; { read -r _ <&3; exec "$@" 3<&- </dev/null >/dev/null 2>"$errors"; } & echo $!""";

    /// <summary>Whether this system can.</summary>
    public static bool IsSupported => OperatingSystem.IsLinux() && Environment.Is64BitProcess;

    /// <exception cref="InvalidOperationException">It did not end well; says what it wrote.</exception>
    public static ProcessSample Run(string folder, params IEnumerable<string> command)
    {
        Check(Control(Subreaper, 1, 0, 0, 0));
        var errors = Path.GetTempFileName();
        try
        {
            using var shell = Process.Start(
                new ProcessStartInfo("/bin/sh", ["-c", Launch, "sh", errors, .. command])
                {
                    WorkingDirectory = folder,
                    RedirectStandardInput = true,
                    RedirectStandardOutput = true,
                })!;
            var child = int.Parse(shell.StandardOutput.ReadLine() ?? "", CultureInfo.InvariantCulture);
            shell.WaitForExit();
            var start = Stopwatch.GetTimestamp();
            shell.StandardInput.WriteLine();
            shell.StandardInput.Flush();
            int ended, status;
            Usage usage;
            while ((ended = Wait(child, out status, 0, out usage)) < 0
                && Marshal.GetLastPInvokeError() == Interrupted)
            {
            }
            Check(ended);
            var wall = Stopwatch.GetElapsedTime(start);
            if (status != 0)
                throw new InvalidOperationException(
                    $"'{string.Join(' ', command)}' ended with status {status:x}: {File.ReadAllText(errors).Trim()}");
            return new ProcessSample(wall, usage.User.Span + usage.System.Span, usage.PeakKilobytes * 1024);
        }
        finally
        {
            File.Delete(errors);
        }
    }

    private static void Check(int result)
    {
        if (result < 0)
            throw new Win32Exception(Marshal.GetLastPInvokeError());
    }

    [LibraryImport("libc", EntryPoint = "prctl", SetLastError = true)]
    private static partial int Control(int option, nuint value, nuint second, nuint third, nuint fourth);

    [LibraryImport("libc", EntryPoint = "wait4", SetLastError = true)]
    private static partial int Wait(int process, out int status, int options, out Usage usage);

    [StructLayout(LayoutKind.Sequential)]
    private struct Time
    {
        private readonly long seconds;
        private readonly long microseconds;

        public readonly TimeSpan Span => TimeSpan.FromSeconds(seconds, 0, microseconds);
    }

    // struct rusage of 64-bit Linux.
    [StructLayout(LayoutKind.Sequential, Size = 144)]
    private struct Usage
    {
        public Time User;
        public Time System;
        public long PeakKilobytes;
    }
}
