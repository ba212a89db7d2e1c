using System.Globalization;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Tests;

/// <summary>
/// Every PTX file of the project must assemble for each target without spills and without the warnings that mean a slow
/// kernel, and its registers must be those of kernels/registers.md. CUDALORA_UPDATE_REGISTERS=1 writes that table anew.
/// </summary>
public class PtxGateTests
{
    private const string TableRelease = "12.4.131";
    private static readonly string Folder = Path.Combine(SharedData.Root, "kernels", "Ops");
    private static readonly string TablePath = Path.Combine(SharedData.Root, "kernels", "registers.md");

    public static TheoryData<string> Files =>
        [.. Directory.GetFiles(Folder, "*.ptx").Select(file => Path.GetFileName(file)!).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Files))]
    public void AssemblesWithoutSpillsOrWarnings(string file)
    {
        foreach (EntryCost cost in Assemble(file)) Assert.Equal(0, cost.SpillBytes);
    }

    [Fact]
    public void RegistersAreThoseOfTheTable()
    {
        Ptxas ptxas = Require();
        if (ptxas.Version() != TableRelease)
            Assert.Skip($"the table is of ptxas {TableRelease}, here is {ptxas.Version()}");
        string table = Table();
        if (Environment.GetEnvironmentVariable("CUDALORA_UPDATE_REGISTERS") == "1") File.WriteAllText(TablePath, table);
        string committed = File.Exists(TablePath) ? File.ReadAllText(TablePath).ReplaceLineEndings("\n") : "";
        Assert.Equal(committed, table);
    }

    [Fact]
    public void SpillsAndSerialisedWgmmaAreSeen()
    {
        const string Log = """
            ptxas info    : (C7515) Potential Performance Loss: wgmma.mma_async instructions are serialized
            ptxas info    : 0 bytes gmem
            ptxas info    : Compiling entry function 'k' for 'sm_90a'
            ptxas info    : Function properties for k
                16 bytes stack frame, 24 bytes spill stores, 28 bytes spill loads
            ptxas info    : Used 255 registers, used 3 barriers, 16 bytes smem, 400 bytes cmem[0]
            """;
        AssemblerLog log = AssemblerLog.Parse(Log);
        Assert.Single(log.Warnings);
        Assert.Equal([new EntryCost("k", "sm_90a", 255, 16, 16, 52, 3)], log.Entries);
    }

    [Fact]
    public void ABrokenFileIsRefusedWithItsLine()
    {
        Ptxas ptxas = Require();
        using var folder = new TemporaryFolder();
        string file = Path.Combine(folder.Path, "broken.ptx");
        File.WriteAllText(
            file,
            ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() {\n    frob.u32 x;\n    ret;\n}\n");
        AssemblyResult result = ptxas.Assemble(file, "sm_80");
        Assert.False(result.Success);
        Assert.Contains("line 5", result.Output, StringComparison.Ordinal);
    }

    private static Ptxas Require()
    {
        Ptxas? ptxas = Ptxas.Find();
        Assert.SkipWhen(ptxas is null, "no ptxas on this machine; kernels/ptxas.sh fetches one");
        return ptxas!;
    }

    // Text for sm_80 also runs on sm_90 by the driver's JIT compiler; the architecture-specific sm_90a stands alone.
    private static string[] Targets(string target) => target == "sm_80" ? ["sm_80", "sm_90"] : [target];

    private static List<EntryCost> Assemble(string file)
    {
        Ptxas ptxas = Require();
        string path = Path.Combine(Folder, file);
        var costs = new List<EntryCost>();
        foreach (string target in Targets(PtxModule.Parse(File.ReadAllText(path), file).Target))
        {
            AssemblyResult result = ptxas.Assemble(path, target);
            Assert.True(result.Success, result.Output);
            Assert.Empty(result.Log.Warnings);
            costs.AddRange(result.Log.Entries);
        }
        Assert.NotEmpty(costs);
        return costs;
    }

    private static string Table()
    {
        var lines = new List<string>
        {
            "# Registers and shared memory of every kernel",
            "",
            $"By ptxas {TableRelease}; spills and static shared memory in bytes. A test compares this table;",
            "`CUDALORA_UPDATE_REGISTERS=1` and the test `RegistersAreThoseOfTheTable` write it anew.",
            "",
            "| file | entry | target | registers | spills | shared |",
            "|---|---|---|---:|---:|---:|",
        };
        foreach (string file in Files.Select(row => row.Data))
        {
            IEnumerable<EntryCost> costs = Assemble(file)
                .OrderBy(cost => cost.Entry, StringComparer.Ordinal)
                .ThenBy(cost => cost.Target, StringComparer.Ordinal);
            foreach (EntryCost cost in costs)
            {
                lines.Add(string.Create(
                    CultureInfo.InvariantCulture,
                    $"| {file} | {cost.Entry} | {cost.Target} | {cost.Registers} | {cost.SpillBytes} | "
                    + $"{cost.SharedBytes} |"));
            }
        }
        return string.Join('\n', lines) + "\n";
    }
}
