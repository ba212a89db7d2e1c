using System.Collections.Concurrent;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Tests;

/// <summary>Where ptxas is at hand, every PTX text of the emulator's tests must assemble with it.</summary>
internal static class PtxasGate
{
    private static readonly Ptxas? Assembler = Ptxas.Find();
    private static readonly ConcurrentDictionary<string, bool> Seen = new(StringComparer.Ordinal);

    public static void Check(string text)
    {
        if (Assembler is null || !Seen.TryAdd(text, true)) return;
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, text);
            AssemblyResult result = Assembler.Assemble(file, PtxModule.Parse(text, "test.ptx").Target);
            Assert.True(result.Success, result.Output + "\n" + text);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
