using System.Globalization;
using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Cli;

/// <summary>Runs a lab on the emulator and keeps what its launch counted.</summary>
internal static class KernelsLab
{
    public static (LabRun Run, LaunchReport Report) Emulate(
        KernelLab lab, IReadOnlyList<int> shape, int seed, Trace? trace = null)
    {
        LaunchReport? report = null;
        using var driver = new EmulatedDriver(new EmulatorOptions { Seed = (ulong)seed })
        {
            Launched = launched => report = launched,
            Trace = trace,
        };
        using CudaContext context = CudaContext.Open(driver);
        LabRun run = Run(lab, context, shape, seed);
        return (run, report!);
    }

    /// <summary>The run, with what a user can cause told in one line.</summary>
    public static LabRun Run(KernelLab lab, CudaContext context, IReadOnlyList<int> shape, int seed)
    {
        try
        {
            return lab.Run(context, shape, seed);
        }
        catch (ArgumentException error)
        {
            throw new UsageException(error.Message);
        }
        catch (CudaException error)
        {
            throw new UserErrorException(error.Message, error);
        }
    }

    public static int[] Shape(KernelLab lab, string? text) =>
        text is null ? [.. lab.DefaultShape] : Numbers("--shape", text);

    /// <summary>Numbers between commas or x.</summary>
    public static int[] Numbers(string option, string text)
    {
        string[] parts = text.Split([',', 'x']);
        var numbers = new int[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out numbers[i]))
                throw new UsageException($"{option} takes numbers such as 64,128, but got '{text}'");
        }
        return numbers;
    }

    public static string Text(IReadOnlyList<int> shape) => string.Join(" x ", shape);

    public static string Text(long value) => value.ToString("#,0", CultureInfo.InvariantCulture);

    /// <summary>How many times the least: 1.00x is perfect; a dash where nothing is asked for.</summary>
    public static string Ratio(double value, double least) =>
        least <= 0 ? "-" : (value / least).ToString("0.00", CultureInfo.InvariantCulture) + "x";
}
