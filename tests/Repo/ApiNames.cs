using System.Reflection;

namespace CudaLora.Tests.Repo;

/// <summary>Type names as C# writes them, without namespaces.</summary>
internal static class ApiNames
{
    private static readonly Dictionary<Type, string> Keywords = new()
    {
        [typeof(void)] = "void",
        [typeof(bool)] = "bool",
        [typeof(byte)] = "byte",
        [typeof(sbyte)] = "sbyte",
        [typeof(short)] = "short",
        [typeof(ushort)] = "ushort",
        [typeof(int)] = "int",
        [typeof(uint)] = "uint",
        [typeof(long)] = "long",
        [typeof(ulong)] = "ulong",
        [typeof(nint)] = "nint",
        [typeof(nuint)] = "nuint",
        [typeof(float)] = "float",
        [typeof(double)] = "double",
        [typeof(string)] = "string",
        [typeof(object)] = "object",
        [typeof(char)] = "char",
    };

    public static string Of(Type type) => Of(type, NullabilityState.Unknown);

    /// <summary>The name, with a question mark where null is allowed.</summary>
    public static string Of(Type type, NullabilityState state) =>
        Plain(type) + (state == NullabilityState.Nullable && !type.IsValueType ? "?" : "");

    private static string Plain(Type type)
    {
        if (Keywords.TryGetValue(type, out var keyword))
            return keyword;
        if (type.IsByRef)
            return Plain(type.GetElementType()!);
        if (type.IsPointer)
            return Plain(type.GetElementType()!) + "*";
        if (type.IsArray)
            return $"{Plain(type.GetElementType()!)}[{new string(',', type.GetArrayRank() - 1)}]";
        if (type.IsGenericParameter)
            return type.Name;
        if (Nullable.GetUnderlyingType(type) is { } value)
            return Plain(value) + "?";
        var outer = type.IsNested ? Plain(type.DeclaringType!) + "." : "";
        if (type.IsFunctionPointer)
            return "delegate*";
        var name = type.Name.Split('`')[0];
        var own = type.GetGenericArguments().Skip(type.DeclaringType?.GetGenericArguments().Length ?? 0).ToArray();
        return own.Length == 0 ? outer + name : $"{outer}{name}<{string.Join(", ", own.Select(Plain))}>";
    }
}
