using CudaLora.Bench.Processes;

namespace CudaLora.Tests;

/// <summary>How the bench counts what a process costs; no test publishes the forms.</summary>
public class ProcessBenchTests
{
    [Fact]
    public void AProcessIsCountedAlone()
    {
        Assert.SkipUnless(ChildProcess.IsSupported, "counts as 64-bit Linux does");
        // The peak of this process, tens of megabytes, must not be taken for that of a shell.
        var idle = ChildProcess.Run("/", "/bin/sh", "-c", "sleep 0.2");
        Assert.InRange(idle.Wall.TotalSeconds, 0.2, 20);
        Assert.InRange(idle.PeakBytes, 100_000, 20_000_000);
        Assert.True(idle.Cpu < idle.Wall, $"{idle}");

        var busy = ChildProcess.Run("/", "/bin/sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done");
        Assert.True(busy.Cpu > idle.Cpu, $"{busy} against {idle}");
    }

    [Fact]
    public void AFailureShowsWhatWasSaid()
    {
        Assert.SkipUnless(ChildProcess.IsSupported, "counts as 64-bit Linux does");
        var error = Assert.Throws<InvalidOperationException>(
            () => ChildProcess.Run("/", "/bin/sh", "-c", "echo no such thing >&2; exit 3"));
        Assert.Contains("no such thing", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void PackagesThatNeedEachOtherAreCountedOnce()
    {
        const string list = """
            torch	100	torch-api	libc (>= 2)	blas | blas-virtual, python:any (<< 4), absent
            python	20		 	libc
            libc	3			libgcc
            libgcc	1			libc
            openblas	50	blas-virtual		libc
            other	1000			torch
            """;
        Assert.Equal((1024L * 174, 5), TorchImport.Closure(list, "torch"));
        Assert.Equal((0L, 0), TorchImport.Closure(list, "absent"));
    }
}
