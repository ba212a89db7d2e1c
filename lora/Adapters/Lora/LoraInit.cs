using System.Globalization;

namespace CudaLora.Lora;

/// <summary>How A and B of a new adapter begin (PEFT's <c>init_lora_weights</c>).</summary>
public enum LoraInit
{
    /// <summary>A uniform in ±1/√in (Kaiming with a = √5), B zero. JSON <c>true</c>.</summary>
    Default,

    /// <summary>A normal with deviation 1/r, B zero. JSON <c>"gaussian"</c>.</summary>
    Gaussian,

    /// <summary>A uniform in ±1/√in, B uniform in ±1/√r: not the identity, for tests. JSON <c>false</c>.</summary>
    Random,

    /// <summary>
    /// The correction of a 4-bit base that <see cref="LoftQ"/> computes; as <see cref="Default"/> until then. JSON
    /// <c>"loftq"</c>; written as <c>true</c>, since a saved adapter brings its values.
    /// </summary>
    LoftQ,

    /// <summary>A and B random in orthogonal subspaces, so that B A = 0; r must be even.</summary>
    Orthogonal,

    /// <summary>
    /// The largest singular values of the base weight train, the rest stays (Meng et al. 2024, arXiv 2404.02948). By
    /// exact decomposition, or <c>pissa_niter_N</c> by N rounds of a randomised one.
    /// </summary>
    Pissa,

    /// <summary>The first columns of the base weight's QR decomposition train (Büyükakyüz 2024, arXiv
    /// 2406.01775).</summary>
    Olora,

    /// <summary>A from the inputs of each layer, B zero, ranks where the inputs vary (Paischer et al. 2024, arXiv
    /// 2410.07170); see <see cref="Eva"/>.</summary>
    Eva,

    /// <summary>For study: A and B normal with deviation 1/r, so that the first output is disturbed.</summary>
    BothGaussian,

    /// <summary>For study: A and B zero, so that neither ever gets a gradient.</summary>
    BothZero,

    /// <summary>For study: A zero, B normal with deviation 1/r.</summary>
    ZeroA,
}

/// <summary>The names of <see cref="LoraInit"/> in configs and on the command line.</summary>
public static class LoraInitNames
{
    private const string Iterations = "pissa_niter_";

    private static readonly (string Name, LoraInit Init)[] Names =
    [
        ("true", LoraInit.Default), ("gaussian", LoraInit.Gaussian), ("orthogonal", LoraInit.Orthogonal),
        ("pissa", LoraInit.Pissa), ("olora", LoraInit.Olora), ("eva", LoraInit.Eva), ("loftq", LoraInit.LoftQ),
        ("false", LoraInit.Random), ("both_gaussian", LoraInit.BothGaussian), ("both_zero", LoraInit.BothZero),
        ("zero_a", LoraInit.ZeroA),
    ];

    /// <summary>All names, in the order they are explained.</summary>
    public static IEnumerable<string> All =>
        Names.Select(n => n.Name).SelectMany(name => name == "pissa" ? new[] { name, Iterations + "N" } : [name]);

    /// <summary>The name of an initialisation.</summary>
    public static string Of(LoraInit init, int pissaIterations = 0) =>
        init == LoraInit.Pissa && pissaIterations > 0
            ? string.Create(CultureInfo.InvariantCulture, $"{Iterations}{pissaIterations}")
            : Names.First(n => n.Init == init).Name;

    /// <summary>Reads a name; <paramref name="pissaIterations"/> is 0 for an exact decomposition.</summary>
    public static bool TryParse(string name, out LoraInit init, out int pissaIterations)
    {
        (init, pissaIterations) = (LoraInit.Pissa, 0);
        if (name.StartsWith(Iterations, StringComparison.OrdinalIgnoreCase))
            return int.TryParse(
                name[Iterations.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out pissaIterations)
                && pissaIterations > 0;
        foreach (var (known, value) in Names)
        {
            if (!known.Equals(name, StringComparison.OrdinalIgnoreCase))
                continue;
            init = value;
            return true;
        }
        return false;
    }
}
