namespace CudaLora.Kernels.Ptx;

/// <summary>State spaces of PTX variables.</summary>
public enum PtxSpace
{
#pragma warning disable CS1591 // each name is the PTX space itself
    Generic, Reg, Param, Global, Shared, Const, Local,
#pragma warning restore CS1591
}

/// <summary>
/// A parsed PTX file: version, target, module variables and entries. Symbols, registers and labels are resolved and
/// instruction operands are syntactically checked; what an instruction means is checked when a module is loaded for
/// running. Source: PTX ISA up to 8.4.
/// </summary>
public sealed class PtxModule
{
    internal PtxModule(string fileName, string text)
    {
        FileName = fileName;
        Text = text;
    }

    /// <summary>Name used in messages.</summary>
    public string FileName { get; }

    /// <summary>The PTX text as given.</summary>
    public string Text { get; }

    /// <summary><c>.version</c>, times ten: 80 for 8.0.</summary>
    public int Version { get; internal set; }

    /// <summary><c>.target</c>, for example <c>sm_90a</c>.</summary>
    public string Target { get; internal set; } = "";

    /// <summary>The number in the target: 80 for <c>sm_80</c>, 90 for <c>sm_90a</c>.</summary>
    public int TargetNumber { get; internal set; }

    /// <summary>Entries in file order.</summary>
    public IReadOnlyList<PtxEntry> Entries => EntryList;

    /// <summary>Module-level variables in file order.</summary>
    public IReadOnlyList<PtxVariable> Variables => VariableList;

    internal List<PtxEntry> EntryList { get; } = [];

    internal List<PtxVariable> VariableList { get; } = [];

    internal List<PtxFunction> FunctionList { get; } = [];

    /// <summary>Parses PTX text.</summary>
    /// <param name="text">The PTX text.</param>
    /// <param name="fileName">Name used in messages.</param>
    /// <exception cref="PtxException">The text does not parse or is outside the supported subset.</exception>
    public static PtxModule Parse(string text, string fileName) => new Parser(text, fileName).Run();

    /// <summary>The entry of that name; null when the module has none.</summary>
    public PtxEntry? FindEntry(string name) => EntryList.Find(e => e.Name == name);
}

/// <summary>A kernel parameter. Offsets follow the packed layout that a launch passes.</summary>
/// <param name="Name">Name in the PTX text.</param>
/// <param name="Type">Element type.</param>
/// <param name="Size">Bytes in all.</param>
/// <param name="Alignment">Bytes.</param>
/// <param name="Offset">Bytes from the start of the packed block.</param>
/// <param name="ArrayLength">Elements of an array parameter; 0 for a scalar.</param>
public sealed record PtxParameter(string Name, PtxType Type, int Size, int Alignment, int Offset, int ArrayLength);

/// <summary>A variable in global, const, shared or local space.</summary>
public sealed class PtxVariable
{
    internal PtxVariable(string name, PtxSpace space, PtxType type, long elements, int alignment, bool isExtern)
    {
        Name = name;
        Space = space;
        Type = type;
        Elements = elements;
        Alignment = alignment;
        IsExtern = isExtern;
    }

    /// <summary>Name in the PTX text.</summary>
    public string Name { get; }

    /// <summary>Where it lives.</summary>
    public PtxSpace Space { get; }

    /// <summary>Element type.</summary>
    public PtxType Type { get; }

    /// <summary>Number of elements; 0 for <c>.extern .shared x[]</c>.</summary>
    public long Elements { get; }

    /// <summary>Bytes.</summary>
    public int Alignment { get; }

    /// <summary>True for dynamic shared memory.</summary>
    public bool IsExtern { get; }

    /// <summary>Bytes in all.</summary>
    public long Size => Elements * Type.Size();

    internal byte[]? Initial { get; set; }

    /// <summary>An argument of a function, which it may not write.</summary>
    internal bool IsReadOnly { get; init; }
}

/// <summary>A kernel: parameters, launch limits and its instructions.</summary>
public sealed class PtxEntry
{
    internal PtxEntry(PtxModule module, string name, int line)
    {
        Module = module;
        Name = name;
        Line = line;
    }

    /// <summary>The module it belongs to.</summary>
    public PtxModule Module { get; }

    /// <summary>Name to launch by.</summary>
    public string Name { get; }

    /// <summary>Line of the declaration.</summary>
    public int Line { get; }

    /// <summary>Parameters in order.</summary>
    public IReadOnlyList<PtxParameter> Parameters => ParameterList;

    /// <summary>Bytes of the packed parameter block.</summary>
    public int ParameterBytes { get; internal set; }

    /// <summary><c>.maxntid</c> as a product of threads; 0 when absent.</summary>
    public int MaxThreads { get; internal set; }

    /// <summary><c>.reqntid</c> (x, y, z); null when absent.</summary>
    public (int X, int Y, int Z)? RequiredThreads { get; internal set; }

    /// <summary><c>.reqnctapercluster</c> (x, y, z); null when absent.</summary>
    public (int X, int Y, int Z)? RequiredCluster { get; internal set; }

    /// <summary><c>.minnctapersm</c>; 0 when absent.</summary>
    public int MinBlocksPerSm { get; internal set; }

    /// <summary><c>.maxnreg</c>; 0 when absent.</summary>
    public int MaxRegisters { get; internal set; }

    internal List<PtxParameter> ParameterList { get; } = [];

    /// <summary>Its own code; after linking, with the functions it calls in place of the calls.</summary>
    internal PtxCode Code { get; set; } = new();

    internal List<PtxVariable> Variables => Code.Variables;

    internal List<PtxRegister> Registers => Code.Registers;

    internal List<PtxInstruction> Body => Code.Body;
}
